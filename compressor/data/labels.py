"""Which labels there are: samples without one are told apart from those with."""

import torch
from torch import Tensor

# The label of a training sample that has none; where labels are numbers to be met, nan.
UNLABELED = -1


def labelled(labels: Tensor) -> Tensor:
    """Which samples have a label, bool (N,), of labels int64 (N,) or float (N,)."""
    return ~labels.isnan() if labels.is_floating_point() else labels != UNLABELED


def joined(first: Tensor, second: Tensor) -> Tensor:
    """The labels of two splits one after the other, where the second may have none."""
    if first.is_floating_point() and not second.is_floating_point():
        second = torch.where(labelled(second), second.to(first.dtype), torch.nan)
    return torch.cat([first, second])
