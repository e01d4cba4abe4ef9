"""Distillation losses as plain functions on tensors, usable in anyone's loop."""

from torch import Tensor
from torch.nn import functional


def kd_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 4.0) -> Tensor:
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
