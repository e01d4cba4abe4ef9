"""Copies of networks that keep something of earlier calls."""

import pytest
import torch
from torch import Tensor, nn

from compressor.copies import copy_of, frozen_copy


class Remembers(nn.Module):
    """Computes a tensor once per evaluation, as LeViT's attention does; ``there`` only while it is evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(3))
        self.kept: dict[str, Tensor] = {}

    def train(self, mode: bool = True) -> "Remembers":
        super().train(mode)
        self.kept = {}
        if mode:
            self.__dict__.pop("there", None)
        else:
            self.there = self.table * 2
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x * self.table * 2
        if not self.kept:
            self.kept["table"] = self.table * 1
        return x * self.kept["table"] * self.there / self.table


def test_what_a_network_kept_of_a_call_is_forgotten_by_its_copy() -> None:
    module = nn.Sequential(nn.Linear(3, 3), Remembers()).eval()
    module(torch.ones(2, 3))
    kept = module[1].kept["table"]
    assert not kept.is_leaf
    made = copy_of(module)
    assert made[1].kept == {}
    assert module[1].kept["table"] is kept
    with torch.no_grad():
        made[1].table.mul_(2)
    assert torch.equal(module[1].table, torch.ones(3))
    x = torch.ones(2, 3)
    assert torch.allclose(copy_of(made)(x), made[0](x) * 4)


def test_every_part_stays_in_its_mode() -> None:
    module = nn.Sequential(nn.Dropout(), Remembers(), nn.BatchNorm1d(3)).train()
    module[2].eval()
    made = copy_of(module)
    assert [child.training for child in made.modules()] == [child.training for child in module.modules()]


def test_a_graph_with_history_outside_of_modules_own_dicts_is_copied() -> None:
    module = nn.Linear(2, 2)
    module.seen = [module.weight * 2, (module.bias * 2,)]
    made = copy_of(module)
    assert torch.equal(made.seen[0], module.weight * 2) and made.seen[0].is_leaf


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:.torch.jit:FutureWarning")
def test_torchscript_is_copied_whole_and_frozen() -> None:
    module = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    made = frozen_copy(module)
    assert not made.training and all(p.is_leaf and not p.requires_grad for p in made.parameters())
    with torch.no_grad():
        next(made.parameters()).zero_()
    assert next(module.parameters()).requires_grad and next(module.parameters()).abs().sum() > 0
