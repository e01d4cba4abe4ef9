"""Losses on how the samples of a batch lie to one another, so widths may differ.

Among several processes a batch is the global one: features are gathered with their gradient, each process computes
the whole loss, and the mean over processes that data parallel training takes of the gradients is the gradient of it.
"""

import torch
from torch import Tensor, distributed
from torch.distributed.nn import functional as collective
from torch.nn import functional

# Squared distances below this share of the largest squared norm are rounding.
SAME = 1e-12


def rkd_distance(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Relational distillation of distances (Park et al. 2019, https://arxiv.org/abs/1904.05068, section 3.2.1).

    Huber loss between the Euclidean distances of all pairs of samples, each side divided by its mean.

    Args:
        student_features: (N, ...), flattened to vectors; the gradient flows here.
        teacher_features: (N, ...), of any width; detached.

    Returns:
        A scalar >= 0, in float32; 0 for fewer than two samples.
    """
    student, teacher = _gathered(student_features, teacher_features)
    return functional.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def rkd_angle(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Relational distillation of angles (Park et al. 2019, section 3.2.2).

    Huber loss between the cosines of the angles that every triplet of samples makes at its middle one.

    Args:
        student_features: (N, ...), flattened to vectors; the gradient flows here.
        teacher_features: (N, ...), of any width; detached.

    Returns:
        A scalar >= 0, in float32. Memory grows with the cube of N.
    """
    student, teacher = _gathered(student_features, teacher_features)
    return functional.smooth_l1_loss(_cosines(student), _cosines(teacher))


def similarity_preserving(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Similarity-preserving distillation (Tung and Mori 2019, https://arxiv.org/abs/1907.09682, equation 4).

    ``|G_t - G_s|**2 / N**2`` with G the matrix of inner products of all pairs, each row scaled to unit length.

    Args:
        student_features: (N, ...), flattened to vectors; the gradient flows here.
        teacher_features: (N, ...), of any width; detached.

    Returns:
        A scalar >= 0, in float32.
    """
    student, teacher = (_similarities(vectors) for vectors in _gathered(student_features, teacher_features))
    return (student - teacher).square().sum() / len(student) ** 2


def cosine_similarities(student_vectors: Tensor, teacher_vectors: Tensor) -> Tensor:
    """Squared difference of the cosines of all pairs of vectors: texts are as alike as the teacher finds them.

    ``sum((cos(s_i, s_j) - cos(t_i, t_j))**2) / (N * (N - 1))`` over i != j, the correlation congruence of Peng et al.
    2019 (https://arxiv.org/abs/1904.01802, equation 6) with the inner product of unit vectors as its kernel.

    Args:
        student_vectors: (N, width); the gradient flows here.
        teacher_vectors: (N, width), of any width; detached.

    Returns:
        A scalar in 0 to 4, in float32; 0 for fewer than two vectors.
    """
    sides = (functional.normalize(vectors, dim=1) for vectors in _gathered(student_vectors, teacher_vectors))
    student, teacher = (vectors @ vectors.T for vectors in sides)
    errors = (student - teacher).square().fill_diagonal_(0)
    return errors.sum() / max(1, len(errors) * (len(errors) - 1))


def _gathered(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (N, width) of the global batch; of float32 and of a size whose squares stay finite."""
    return _all_ranks(_vectors(student)), _all_ranks(_vectors(teacher.detach()))


def _vectors(features: Tensor) -> Tensor:
    return features.float().flatten(1)


def _all_ranks(vectors: Tensor) -> Tensor:
    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() == 1:
        return vectors
    return torch.cat(tuple(collective.all_gather(vectors)))


def _unit_size(vectors: Tensor) -> Tensor:
    """The same vectors over their largest value: every loss here is blind to one factor for all."""
    return vectors / vectors.detach().abs().amax().clamp(min=1e-12)


def _relative_distances(vectors: Tensor) -> Tensor:
    """Distances of all pairs over their mean, (N * (N - 1) / 2,)."""
    distances = functional.pdist(_unit_size(vectors))
    if not len(distances):
        return vectors.sum()[None] * 0
    return distances / distances.mean().clamp(min=1e-12)


def _cosines(vectors: Tensor) -> Tensor:
    """(N, N, N): at the first sample, the cosine between the directions to the second and the third.

    From inner products alone, since the directions themselves would take N * N * width numbers; in float64,
    because they are differences of large numbers. 0 where two samples are the same.
    """
    scaled = _unit_size(vectors).double()
    centred = scaled - scaled.mean(dim=0)
    products = centred @ centred.T
    own = products.diagonal()
    squares = own[:, None] + own[None, :] - 2 * products
    apart = squares > SAME * own.detach().amax()
    inverse = torch.where(apart, squares, 1).rsqrt() * apart
    both = products[None] - products[:, :, None] - products[:, None, :] + own[:, None, None]
    return (both * inverse[:, :, None] * inverse[:, None, :]).float()


def _similarities(vectors: Tensor) -> Tensor:
    scaled = _unit_size(vectors)
    return functional.normalize(scaled @ scaled.T, dim=1)
