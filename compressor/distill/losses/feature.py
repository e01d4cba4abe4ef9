"""Losses on values inside the networks: feature maps, hidden states, embeddings."""

from torch import Tensor
from torch.nn import functional


def hint(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """FitNets' hint: mean squared difference of two layers' outputs.

    Romero et al. 2014 (https://arxiv.org/abs/1412.6550, equation 3), as a mean over all elements, so that
    the weight needn't follow the layer's size. The student's features come through a learned regressor
    where widths differ (``Regressor``); of two resolutions the larger is averaged down to the smaller.

    Args:
        student_features: (N, C, H, W) or (N, ..., C); the gradient flows here.
        teacher_features: The same but for H and W; detached.

    Returns:
        A scalar >= 0, in float32.

    Raises:
        ValueError: Shapes differ in more than H and W.
    """
    student, teacher = same_resolution(student_features.float(), teacher_features.detach().float())
    if student.shape != teacher.shape:
        raise ValueError(f"student has {tuple(student.shape)}, teacher {tuple(teacher.shape)}: a regressor is missing")
    return functional.mse_loss(student, teacher)


def hidden_states(student_states: Tensor, teacher_states: Tensor, mask: Tensor | None = None) -> Tensor:
    """TinyBERT's loss on hidden states and on embeddings: mean squared difference over real tokens.

    Jiao et al. 2019 (https://arxiv.org/abs/1909.10351, equations 8 and 9); the student's states come
    through a learned linear map where widths differ.

    Args:
        student_states: (N, tokens, width); the gradient flows here.
        teacher_states: (N, tokens, width); detached.
        mask: (N, tokens), true or 1 for tokens, false or 0 for padding; None where there is none.

    Returns:
        A scalar >= 0, in float32.
    """
    errors = (student_states.float() - teacher_states.detach().float()).square().mean(dim=-1)
    if mask is None:
        return errors.mean()
    weights = mask.to(errors.dtype)
    return (errors * weights).sum() / weights.sum().clamp(min=1)


def cosine(student_vectors: Tensor, teacher_vectors: Tensor) -> Tensor:
    """One minus the cosine between vectors, as DistilBERT aligns hidden states.

    Sanh et al. 2019 (https://arxiv.org/abs/1910.01108, section 2). Blind to length: for embeddings that
    are compared by cosine.

    Args:
        student_vectors: (N, ..., width); the gradient flows here.
        teacher_vectors: The same shape; detached.

    Returns:
        A scalar in 0 to 2, in float32.
    """
    return (1 - functional.cosine_similarity(student_vectors.float(), teacher_vectors.detach().float(), dim=-1)).mean()


def same_resolution(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Feature maps (N, C, H, W) averaged down to the smaller of both resolutions; other tensors as they are."""
    if first.dim() != 4 or second.dim() != 4 or first.shape[2:] == second.shape[2:]:
        return first, second
    size = (min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3]))
    return functional.adaptive_avg_pool2d(first, size), functional.adaptive_avg_pool2d(second, size)
