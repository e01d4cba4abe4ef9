"""Weights that aren't numbers, and networks that have none to train."""

import pytest
from torch import nn

from compressor.errors import PlanError
from compressor.tasks.weights import check_weights


def checked(module: nn.Module) -> None:
    check_weights(module, "the network", learns=True)


def test_what_is_refused() -> None:
    broken = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    broken[1].weight.data[0, :3] = float("nan")
    with pytest.raises(PlanError, match=r"3 of 640 in '1\.weight' are NaN or infinite"):
        checked(broken)
    with pytest.raises(PlanError, match="no trainable parameters: all 2 have requires_grad = False"):
        checked(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False))
    with pytest.raises(PlanError, match="nothing to compress"):
        checked(nn.Flatten())
    frozen = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)
    check_weights(frozen, "the teacher", learns=False)
