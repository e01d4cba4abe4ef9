"""The faster precision wins by a clock that can be set."""

import itertools

import pytest
import torch
from torch import nn

from compressor.training import precision


@pytest.mark.parametrize(("fp32", "bf16", "wins"), [(1.0, 0.5, "bf16"), (1.0, 0.97, "fp32"), (1.0, 2.0, "fp32")])
def test_the_clock_decides(monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float, wins: str) -> None:
    ticks = itertools.chain.from_iterable(itertools.repeat((0.0, fp32, 0.0, bf16)))
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(ticks))
    module = nn.Linear(4, 4)
    before = module.weight.clone()
    assert precision.faster_precision(module, lambda m: m(torch.ones(2, 4)).sum(), "cpu") == wins
    assert torch.equal(before, module.weight)
    assert module.weight.grad is None
