"""Losses on the networks' answers: logits, and labels where a loss needs them."""

import torch
from torch import Tensor
from torch.nn import functional


def kd_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Response-based distillation: KL divergence of softened class probabilities, times T squared.

    ``T**2 * sum(p_t * (log p_t - log p_s)) / N`` with ``p = softmax(logits / T)``. The factor keeps the
    gradient's size comparable between temperatures (Hinton, Vinyals and Dean 2015,
    https://arxiv.org/abs/1503.02531, section 2).

    Args:
        student_logits: (N, classes); the gradient flows here.
        teacher_logits: (N, classes); detached.
        temperature: T > 0; higher shows more of the wrong classes' ranking.

    Returns:
        A scalar >= 0, in float32.
    """
    student = functional.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = functional.log_softmax(teacher_logits.detach().float() / temperature, dim=-1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def decoupled_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    temperature: float = 1.0,
    target_weight: float = 1.0,
    others_weight: float = 8.0,
) -> Tensor:
    """Decoupled distillation (Zhao et al. 2022, https://arxiv.org/abs/2203.08679, equation 7).

    Hinton's loss is ``TCKD + (1 - p_t) * NCKD``, with p_t the teacher's probability of the label's class:
    the second term fades where the teacher is sure. Here it doesn't:
    ``T**2 * (target_weight * TCKD + others_weight * NCKD)``. TCKD is the KL divergence of
    {label's class, any other}, NCKD that of the classes besides the label's among themselves.

    Args:
        student_logits: (N, classes); the gradient flows here.
        teacher_logits: (N, classes); detached.
        labels: int64 (N,).
        temperature: T > 0.
        target_weight: The paper's alpha.
        others_weight: The paper's beta; 8 there for most pairs on CIFAR-100, 0.5 on ImageNet.

    Returns:
        A scalar >= 0, in float32.
    """
    (student_target, student_rest), (teacher_target, teacher_rest) = (
        _apart(logits.float() / temperature, labels) for logits in (student_logits, teacher_logits.detach())
    )
    target = functional.kl_div(student_target, teacher_target, reduction="batchmean", log_target=True)
    others = functional.kl_div(student_rest, teacher_rest, reduction="batchmean", log_target=True)
    return (target_weight * target + others_weight * others) * temperature**2


def _apart(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N, 2) of the label's class and of any other, and (N, classes - 1) among the others."""
    count, classes = logits.shape
    of_label = functional.one_hot(labels, classes).bool()
    rest = logits[~of_label].view(count, classes - 1)
    two = torch.stack([logits[of_label], rest.logsumexp(dim=1)], dim=1)
    return functional.log_softmax(two, dim=1), functional.log_softmax(rest, dim=1)


def logit_mse(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean squared difference of the logits, over samples and classes.

    The limit of Hinton's loss at high temperature, for logits that are centred (Ba and Caruana 2014,
    https://arxiv.org/abs/1312.6184; compared with KL by Kim et al. 2021, https://arxiv.org/abs/2105.08919).

    Args:
        student_logits: (N, classes); the gradient flows here.
        teacher_logits: (N, classes); detached.

    Returns:
        A scalar >= 0, in float32.
    """
    return functional.mse_loss(student_logits.float(), teacher_logits.detach().float())


def label_smoothing(student_logits: Tensor, labels: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy with labels that give every class a little (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567).

    It needs no teacher and is the control for what a teacher adds: part of what distillation gains is
    smoothing alone (Yuan et al. 2019, https://arxiv.org/abs/1909.11723).

    Args:
        student_logits: (N, classes).
        labels: int64 (N,).
        smoothing: Share of the target that is spread over all classes, 0 to 1.

    Returns:
        A scalar, in float32; its least value is the entropy of the smoothed label.
    """
    return functional.cross_entropy(student_logits.float(), labels, label_smoothing=smoothing)
