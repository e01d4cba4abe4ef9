"""The faster precision wins by a clock that the steps advance; where bf16 isn't native no clock is asked."""

from pathlib import Path

import pytest
import small
import torch
from torch import Tensor, nn

from compressor.data import Batch
from compressor.training import precision
from compressor.training.layout import Layout
from compressor.training.precision import faster_precision
from compressor.training.probe import Allowance

BATCH = 32


class Timed:
    """A loss whose every sample takes so many seconds in each precision."""

    def __init__(self, fp32: float, bf16: float) -> None:
        self.seconds, self.now, self.calls = {False: fp32, True: bf16}, 0.0, 0

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        self.calls += 1
        self.now += self.seconds[torch.is_autocast_enabled("cpu")] * len(batch.labels)
        return module(batch.inputs[0].flatten(1)).float().sum()  # type: ignore[no-any-return]


def decided(folder: Path, loss: Timed, steps: int = 1000) -> tuple[str, str]:
    ctx = small.small_context(folder)
    module = nn.Linear(64, 4)
    before = module.weight.clone()
    batch = next(ctx.data.training_batches(BATCH, 0, 0))
    found = faster_precision(module, loss, batch, Layout(False), ctx, Allowance(steps, clock=lambda: loss.now))
    assert torch.equal(before, module.weight) and module.weight.grad is None
    return found


@pytest.mark.parametrize(("fp32", "bf16", "wins"), [(1.0, 0.5, "bf16"), (1.0, 0.97, "fp32"), (1.0, 2.0, "fp32")])
def test_the_clock_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float, wins: str
) -> None:
    monkeypatch.setattr(precision, "has_bf16_kernels", lambda device: True)
    found, why = decided(tmp_path, Timed(fp32 / 1000, bf16 / 1000))
    assert found == wins and f"{BATCH * bf16:.3g} ms in bf16" in why


def test_where_bf16_is_emulated_nothing_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16_kernels", lambda device: False)
    loss = Timed(1.0, 0.1)
    assert decided(tmp_path, loss) == ("fp32", "this device has no bf16 instructions")
    assert loss.calls == 0


@pytest.mark.parametrize(("seconds", "steps"), [(0.001, 20), (1.0, 1000)])
def test_what_would_take_too_long_is_trained_in_fp32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    monkeypatch.setattr(precision, "has_bf16_kernels", lambda device: True)
    found, why = decided(tmp_path, Timed(seconds, seconds / 2), steps)
    assert found == "fp32" and "more than 5% of the training, or 20 s" in why


def test_a_network_that_bf16_cannot_compute_is_trained_in_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16_kernels", lambda device: True)

    class Picky(Timed):
        def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
            if torch.is_autocast_enabled("cpu"):
                raise RuntimeError("not implemented for 'BFloat16'")
            return super().__call__(module, batch)

    assert decided(tmp_path, Picky(0.001, 0.001)) == ("fp32", "bf16 couldn't be timed: not implemented for 'BFloat16'")
