"""KL distillation against hand-worked and numpy values."""

import math

import numpy as np
import torch
from torch.nn import functional

from compressor.distill.losses import kd_kl


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
