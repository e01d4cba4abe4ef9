"""channels_last is chosen only where it was seen to work; then everybody feeds the network in the layout it lies in."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import small
import torch
from torch import Tensor, nn

from compressor.context import RunContext, Teacher
from compressor.data import Data
from compressor.data.batches import TensorSplit
from compressor.data.images import Normalise
from compressor.distill import KdSettings, labels_only, recover
from compressor.errors import PlanError
from compressor.models import ModelInfo, TorchModel
from compressor.training import TrainSettings, evaluate, fit, layout
from compressor.training.layout import Choice, Layout, choose_layout, layout_of

TRAIN = TrainSettings(epochs=1, batch_size=16, precision="fp32", crop=1)


class Textbook(nn.Module):
    """Convolutions, then a view, which is illegal after a convolution that lies channels last."""

    def __init__(self, channels: int = 1, in_evaluation_alone: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.last = nn.Linear(6 * 4 * 4, 3)
        self.lenient = in_evaluation_alone

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.first(x)), 2)
        x = torch.relu(self.second(x))
        flat = x.flatten(1) if self.lenient and self.training else x.view(x.size(0), -1)
        return self.last(flat)  # type: ignore[no-any-return]


class OwnBackward(torch.autograd.Function):
    """Gives its input, and on the way back what only a gradient that lies row by row can give."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient.view(-1).view(gradient.shape)


class FailsOnTheWayBack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(OwnBackward.apply(self.first(x))).mean((2, 3))  # type: ignore[no-any-return]


class ReadsMemory(nn.Module):
    """Reads its features in the order in which they happen to lie."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.last = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(torch.as_strided(x, (len(x), 144), (144, 1)))  # type: ignore[no-any-return]


@pytest.fixture
def bf16_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a CPU has none, nothing would be tried."""
    monkeypatch.setattr(layout, "has_bf16_kernels", lambda device: True)


def images(channels: int, hwc: bool) -> Data:
    stored = torch.randint(0, 256, (48, 8, 8, channels) if hwc else (48, channels, 8, 8), dtype=torch.uint8)
    split = TensorSplit(stored.permute(0, 3, 1, 2) if hwc else stored, torch.arange(48) % 3)
    one = Normalise((0.5,) * channels, (0.5,) * channels)
    return Data("made", split, split, split, ("a", "b", "c"), f"{channels} {hwc}", normalise=one)


def context(folder: Path, module: nn.Module, data: Data | None = None) -> RunContext:
    reference = TorchModel(copy.deepcopy(module).eval(), ModelInfo())
    ctx = small.small_context(folder)
    return replace(ctx, data=data or ctx.data, reference=reference, teachers=(Teacher(reference),))


def choice_of(module: nn.Module, ctx: RunContext, choice: Choice = "auto") -> tuple[bool, str]:
    return choose_layout(module, ctx, choice, next(ctx.data.training_batches(16, 0, 0)))


@pytest.mark.parametrize("hwc", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kernels", [False, True])
def test_the_textbook_network_trains_from_images_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, hwc: bool, kernels: bool
) -> None:
    monkeypatch.setattr(layout, "has_bf16_kernels", lambda device: kernels)
    module = Textbook(channels)
    ctx = context(tmp_path, module, images(channels, hwc))
    recover(module, ctx, TRAIN, KdSettings(), start_score=evaluate(module, ctx).value)
    decided = ctx.decisions.read()["recover.channels_last"]
    assert decided["value"] is False and decided["setting"] == "train.channels_last"
    assert ("view" if kernels else "bf16") in decided["reason"]


@pytest.mark.usefixtures("bf16_kernels")
def test_a_network_that_can_lies_channels_last_and_learns_the_same(tmp_path: Path) -> None:
    losses = {}
    for choice in ("auto", "off"):
        ctx = small.small_context(tmp_path / choice)
        module = small.small_model().module
        settings = TRAIN.model_copy(update={"channels_last": choice})
        losses[choice] = recover(module, ctx, settings, KdSettings()).history[0]["loss"]
        assert layout_of(module).channels_last == (choice == "auto")
        assert (
            evaluate(module, ctx).value
            == evaluate(copy.deepcopy(module).to(memory_format=torch.contiguous_format), ctx).value
        )
    assert losses["auto"] == pytest.approx(losses["off"], rel=1e-4)


@pytest.mark.usefixtures("bf16_kernels")
@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Textbook(), "RuntimeError: view size"),
        (Textbook(in_evaluation_alone=True), "RuntimeError: view size"),
        (FailsOnTheWayBack(), "RuntimeError: view size"),
        (ReadsMemory(), "its answers are others"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "over images, and the network has none"),
    ],
    ids=["view", "view in evaluation", "backward", "reads memory", "no convolution"],
)
def test_what_depends_on_the_order_stays_row_by_row(tmp_path: Path, module: nn.Module, why: str) -> None:
    ctx = context(tmp_path, module)
    before = copy.deepcopy(module.state_dict())
    chosen, reason = choice_of(module, ctx)
    assert not chosen and why in reason
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert not layout_of(module).channels_last


def test_nothing_is_tried_without_bf16_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "has_bf16_kernels", lambda device: False)
    calls: list[int] = []
    module = small.small_model().module
    module.register_forward_hook(lambda *_: calls.append(1))
    chosen, reason = choice_of(module, small.small_context(tmp_path))
    assert not chosen and "bf16" in reason and not calls


def test_what_is_set_is_done_or_refused(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    assert choice_of(small.small_model().module, ctx, "off") == (False, "so it was set")
    with pytest.raises(PlanError, match=r"train.channels_last=on: .* view size"):
        choice_of(Textbook(), context(tmp_path, Textbook(), images(1, hwc=False)), "on")


@pytest.mark.usefixtures("bf16_kernels")
def test_a_try_takes_no_chance_from_the_training(tmp_path: Path) -> None:
    module = small.small_model().module
    state = torch.get_rng_state()
    choice_of(nn.Sequential(module, nn.Dropout(0.5)), small.small_context(tmp_path))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("channels", [1, 3])
def test_layouts_are_told_apart_by_kernels_of_any_shape(channels: int) -> None:
    for kernel in (nn.Conv2d(channels, 6, 3), nn.Conv2d(6, 8, 1), nn.Conv2d(6, 6, 3, groups=6)):
        for wanted in (True, False):
            Layout(wanted).place(kernel, "cpu")
            assert layout_of(kernel).channels_last == wanted


def test_a_state_of_another_layout_is_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[int] = []
    ctx = small.small_context(tmp_path)
    for kernels in (True, True, False):
        monkeypatch.setattr(layout, "has_bf16_kernels", lambda device, has=kernels: has)
        ctx.decisions.path.unlink(missing_ok=True)
        fit(small.small_model().module, ctx, TRAIN, labels_only(ctx), before_epoch=epochs.append)
    assert epochs == [0, 0], "the second time goes on from the end, the third starts over"
