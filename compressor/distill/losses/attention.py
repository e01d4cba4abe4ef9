"""Losses on where the networks look: activation maps of convolutions, attention matrices of transformers."""

from torch import Tensor
from torch.nn import functional

from compressor.distill.losses.feature import same_resolution


def attention_transfer(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Squared distance of normalised activation maps, so widths may differ.

    A map is the mean over channels of squared activations, flattened and scaled to unit length; the loss
    is the mean over samples of ``|q_s - q_t|**2`` (Zagoruyko and Komodakis 2016,
    https://arxiv.org/abs/1612.03928, equation 2 with p = 2). Between 0 and 2.

    Args:
        student_features: (N, C, H, W); the gradient flows here.
        teacher_features: (N, C', H', W'); detached. Of two resolutions the larger map is averaged down.

    Returns:
        A scalar >= 0, in float32.
    """
    student, teacher = same_resolution(_activity(student_features), _activity(teacher_features.detach()))
    difference = functional.normalize(student.flatten(1)) - functional.normalize(teacher.flatten(1))
    return difference.square().sum(dim=1).mean()


def _activity(features: Tensor) -> Tensor:
    """(N, 1, H, W); scaled by each sample's largest activation first, or squares leave float32 in extreme cases."""
    values = features.float()
    largest = values.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
    return (values / largest).square().mean(dim=1, keepdim=True)


def attention_matrices(student_attention: Tensor, teacher_attention: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared difference of attention matrices (TinyBERT, https://arxiv.org/abs/1909.10351, equation 7).

    Where head counts differ, the means over heads are compared.

    Args:
        student_attention: (N, heads, tokens, tokens), scores or probabilities; the gradient flows here.
        teacher_attention: (N, heads', tokens, tokens); detached.
        mask: (N, tokens), true or 1 for tokens; pairs with padding don't count.

    Returns:
        A scalar >= 0, in float32.
    """
    student, teacher = student_attention.float(), teacher_attention.detach().float()
    if student.shape[1] != teacher.shape[1]:
        student, teacher = student.mean(dim=1, keepdim=True), teacher.mean(dim=1, keepdim=True)
    errors = (student - teacher).square()
    if mask is None:
        return errors.mean()
    real = mask.to(errors.dtype)
    pairs = (real[:, None, :, None] * real[:, None, None, :]).expand_as(errors)
    # Scores of padding may be -inf on both sides, whose difference is nan.
    return errors.masked_fill(pairs == 0, 0).sum() / pairs.sum().clamp(min=1)
