"""Against hand-worked and numpy values."""

import math

import numpy as np
import torch
from torch.nn import functional

from compressor.distill.losses import decoupled_kd, kd_kl, label_smoothing, logit_mse


def test_by_hand() -> None:
    # Two classes at T = 2: teacher odds 3:1, student even. KL = .75 ln 1.5 + .25 ln .5 = .130812; times 4.
    teacher = torch.tensor([[2 * math.log(3.0), 0.0]])
    student = torch.zeros(1, 2)
    wanted = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert abs(float(kd_kl(student, teacher, 2.0)) - wanted) < 1e-6


def test_against_numpy() -> None:
    rng = np.random.default_rng(0)
    s, t = rng.normal(size=(5, 7)), rng.normal(size=(5, 7))

    def soft(x: np.ndarray) -> np.ndarray:
        e = np.exp(x / 3.0)
        return e / e.sum(1, keepdims=True)

    wanted = 9 * (soft(t) * (np.log(soft(t)) - np.log(soft(s)))).sum() / 5
    assert abs(float(kd_kl(torch.tensor(s), torch.tensor(t), 3.0)) - wanted) < 1e-5


def test_gradient_is_softmax_difference_and_never_reaches_the_teacher() -> None:
    student = torch.randn(4, 6, requires_grad=True)
    teacher = torch.randn(4, 6, requires_grad=True)
    kd_kl(student, teacher, 2.0).backward()
    assert teacher.grad is None
    # T^2 * (1/T) * (p_s - p_t) / N
    wanted = 2.0 * (functional.softmax(student / 2, 1) - functional.softmax(teacher / 2, 1)) / 4
    assert student.grad is not None
    torch.testing.assert_close(student.grad, wanted.detach())


def test_zero_when_equal_and_finite_when_extreme() -> None:
    logits = torch.randn(3, 5)
    assert abs(float(kd_kl(logits, logits))) < 1e-6
    extreme = torch.tensor([[1e4, -1e4, 0.0]], dtype=torch.bfloat16)
    assert math.isfinite(float(kd_kl(extreme, -extreme)))


def test_decoupled_with_equal_weights_is_hintons_without_the_fading() -> None:
    """By the paper's equation 5: KD = TCKD + (1 - p_t) NCKD, in numpy from probabilities."""
    rng = np.random.default_rng(0)
    student, teacher, labels = rng.normal(size=(4, 6)), rng.normal(size=(4, 6)), np.array([0, 5, 2, 2])
    temperature = 2.0
    target = others = kd = 0.0
    for s, t, label in zip(student, teacher, labels, strict=True):
        p, q = (np.exp(x / temperature) / np.exp(x / temperature).sum() for x in (t, s))
        rest = np.arange(6) != label
        target += p[label] * np.log(p[label] / q[label])
        target += (1 - p[label]) * np.log((1 - p[label]) / (1 - q[label]))
        p_rest, q_rest = p[rest] / (1 - p[label]), q[rest] / (1 - q[label])
        others += (p_rest * np.log(p_rest / q_rest)).sum()
        kd += (p * np.log(p / q)).sum()
    s, t, y = torch.tensor(student), torch.tensor(teacher), torch.tensor(labels)
    found = float(decoupled_kd(s, t, y, temperature, target_weight=1, others_weight=3))
    assert abs(found - temperature**2 * (target + 3 * others) / 4) < 1e-5
    assert abs(float(kd_kl(s, t, temperature)) - temperature**2 * kd / 4) < 1e-5


def test_decoupled_gradient_does_not_fade_with_a_sure_teacher() -> None:
    teacher = torch.tensor([[30.0, 1.0, 0.0, -1.0]])
    labels = torch.tensor([0])
    slopes = []
    for loss in (lambda s: kd_kl(s, teacher, 1.0), lambda s: decoupled_kd(s, teacher, labels, 1.0)):
        student = torch.tensor([[30.0, 0.0, 0.0, 0.0]], requires_grad=True)
        loss(student).backward()
        slopes.append(float(student.grad[0, 1:].abs().max()))
    assert slopes[0] < 1e-6 < slopes[1]


def test_decoupled_of_two_classes_has_no_others() -> None:
    student, teacher = torch.randn(4, 2), torch.randn(4, 2)
    labels = torch.tensor([0, 1, 1, 0])
    found = decoupled_kd(student, teacher, labels, 2.0, others_weight=5)
    torch.testing.assert_close(found, kd_kl(student, teacher, 2.0))


def test_logit_mse_is_the_limit_of_high_temperature() -> None:
    """T^2 KL tends to half the mean over classes of squared differences of centred logits."""
    student, teacher = torch.randn(5, 4), torch.randn(5, 4)
    student, teacher = student - student.mean(1, keepdim=True), teacher - teacher.mean(1, keepdim=True)
    assert abs(float(kd_kl(student.double(), teacher.double(), 100.0)) - float(logit_mse(student, teacher)) / 2) < 0.02


def test_label_smoothing_by_hand() -> None:
    # Two classes, even logits: every target gives ln 2. Then odds 3:1 for the label, smoothed to .95 and .05.
    assert abs(float(label_smoothing(torch.zeros(1, 2), torch.tensor([0]), 0.1)) - math.log(2)) < 1e-6
    logits = torch.tensor([[math.log(3.0), 0.0]])
    wanted = -(0.95 * math.log(0.75) + 0.05 * math.log(0.25))
    assert abs(float(label_smoothing(logits, torch.tensor([0]), 0.1)) - wanted) < 1e-6
