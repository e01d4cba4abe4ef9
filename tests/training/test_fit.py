"""The loop trains, resumes to the bit after a kill at any epoch, and stops at the first bad loss."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small
import torch
from torch import nn

from compressor.context import Progress, RunContext
from compressor.data import Batch
from compressor.distill import labels_only
from compressor.errors import DivergedError, InputError
from compressor.training import Loss, TrainSettings, fit

SETTINGS = TrainSettings(epochs=3, batch_size=64, precision="fp32", crop=1)


class KilledError(Exception):
    """Stands for the process's end between two epochs."""


def bits(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def trained(folder: Path, settings: TrainSettings = SETTINGS, kill_before: int | None = None) -> nn.Module:
    ctx = small.small_context(folder)
    module = small.small_model().module

    def before(epoch: int) -> None:
        if epoch == kill_before:
            raise KilledError

    fit(module, ctx, settings, labels_only(ctx), before_epoch=before)
    return module


def test_it_learns(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    module = small.small_model().module
    result = fit(module, ctx, SETTINGS.model_copy(update={"epochs": 15}), labels_only(ctx))
    assert result.history[-1]["loss"] < 0.75 * result.history[0]["loss"]
    assert result.score > 0.3
    assert result.steps == 15 * (len(ctx.data.train) // 64)
    assert result.history[result.best_epoch]["score"] == result.score == max(row["score"] for row in result.history)


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("extra", [{}, {"ema": 0.9}, {"optimizer": "sgd", "lr": 0.05, "schedule": "cosine"}])
def test_a_resumed_training_has_the_same_bits(tmp_path: Path, epoch: int, extra: dict[str, object]) -> None:
    settings = SETTINGS.model_copy(update=extra)
    whole = trained(tmp_path / "whole", settings)
    with pytest.raises(KilledError):
        trained(tmp_path / "killed", settings, kill_before=epoch)
    resumed = trained(tmp_path / "killed", settings)
    assert same(bits(whole), bits(resumed))


def test_another_setting_starts_over(tmp_path: Path) -> None:
    trained(tmp_path)
    ctx = small.small_context(tmp_path)
    epochs: list[int] = []
    fit(
        small.small_model().module,
        ctx,
        SETTINGS.model_copy(update={"lr": 1e-3}),
        labels_only(ctx),
        before_epoch=epochs.append,
    )
    assert epochs == [0, 1, 2]


def test_a_torn_state_file_starts_over(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    with pytest.raises(KilledError):
        trained(tmp_path / "torn", kill_before=2)
    state = tmp_path / "torn" / "train.ckpt"
    state.write_bytes(state.read_bytes()[:1000])
    assert same(bits(whole), bits(trained(tmp_path / "torn")))


@pytest.mark.parametrize("part", ["module", "best", "optimizer", "history"])
def test_a_state_that_was_tampered_with_is_named(tmp_path: Path, part: str) -> None:
    with pytest.raises(KilledError):
        trained(tmp_path, kill_before=2)
    state = torch.load(tmp_path / "train.ckpt", weights_only=True)
    wrong = {"module": {"conv": torch.ones(1)}, "best": {"conv": torch.ones(1)}, "optimizer": {}, "history": [{}]}
    torch.save(state | {part: wrong[part]}, tmp_path / "train.ckpt")
    with pytest.raises(InputError, match=r"train\.ckpt doesn't hold the state of this training"):
        trained(tmp_path)


def test_an_error_of_who_follows_a_resumed_training_is_theirs(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        trained(tmp_path, kill_before=2)

    def listening(_said: Progress) -> None:
        raise ValueError("enough of this")

    ctx = replace(small.small_context(tmp_path), progress=listening)
    with pytest.raises(ValueError, match="enough of this"):
        fit(small.small_model().module, ctx, SETTINGS, labels_only(ctx))


def test_a_non_finite_loss_stops_and_keeps_the_last_good_weights(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    module = small.small_model().module
    steps = ctx.data.steps_per_epoch(64)
    calls = 0

    def objective(network: nn.Module, batch: Batch, progress: float) -> Loss:
        nonlocal calls
        calls += 1
        loss = ctx.task.loss(ctx.task.forward(network, batch), batch)
        return Loss(loss * float("nan") if calls > steps + 1 else loss, {"labels": loss})

    with pytest.raises(DivergedError, match="epoch 2, step 2") as caught:
        fit(module, ctx, SETTINGS, objective)
    assert "train.lr" in caught.value.hint
    assert all(bool(torch.isfinite(value).all()) for value in module.state_dict().values())
    kept = torch.load(tmp_path / "train.ckpt", weights_only=True)["best"]
    assert same(bits(module), kept)


@pytest.mark.parametrize("bad_step", [2, 5])
def test_where_losses_are_read_late_the_bad_step_is_named_and_its_weights_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_step: int
) -> None:
    for module_name in ("fit", "meter"):
        monkeypatch.setattr(sys.modules[f"compressor.training.{module_name}"], "reads_at_once", lambda device: False)
    ctx = small.small_context(tmp_path)
    module = small.small_model().module
    steps = ctx.data.steps_per_epoch(64)
    start = bits(module)
    calls = 0

    def objective(network: nn.Module, batch: Batch, progress: float) -> Loss:
        nonlocal calls
        calls += 1
        loss = ctx.task.loss(ctx.task.forward(network, batch), batch)
        return Loss(loss * float("nan") if calls == bad_step else loss, {"labels": loss})

    epoch, step = divmod(bad_step - 1, steps)
    with pytest.raises(DivergedError, match=f"epoch {epoch + 1}, step {step + 1} "):
        fit(module, ctx, SETTINGS, objective)
    kept = torch.load(tmp_path / "train.ckpt", weights_only=True)["best"] if epoch else start
    assert same(bits(module), kept)


def test_losses_read_late_train_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = trained(tmp_path / "at once")
    for module_name in ("fit", "meter"):
        monkeypatch.setattr(sys.modules[f"compressor.training.{module_name}"], "reads_at_once", lambda device: False)
    assert same(bits(at_once), bits(trained(tmp_path / "late")))


def test_progress_says_how_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["compressor.training.meter"], "REPORT_SECONDS", 0.0)
    said: list[Progress] = []
    ctx: RunContext = replace(small.small_context(tmp_path), progress=said.append)
    fit(small.small_model().module, ctx, SETTINGS, labels_only(ctx))
    assert [event.epoch for event in said] == sorted(event.epoch for event in said)
    assert said[0].seconds_left is not None
    assert said[-1].seconds_left == 0
    assert said[-1].score is not None


class Helped:
    """An objective with a scale of its own, which is trained along."""

    def __init__(self, ctx: RunContext) -> None:
        self.ctx = ctx
        self.helpers = nn.ParameterDict({"scale": nn.Parameter(torch.ones(1))})
        self.shares: list[float] = []

    def __call__(self, network: nn.Module, batch: Batch, progress: float) -> Loss:
        self.shares.append(progress)
        outputs = self.ctx.task.forward(network, batch)
        labels = self.ctx.task.loss(outputs * self.helpers["scale"], batch)
        size = outputs.square().mean()
        return Loss(labels + 0.01 * size, {"labels": labels, "size": size}, {"size": 0.01})


def test_helpers_are_trained_resumed_and_their_gradients_logged(tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(epoch: int) -> None:
        if epoch == 2:
            raise StoppedError

    scales = []
    for name in ("whole", "stopped"):
        ctx = small.small_context(tmp_path / name)
        for before in (None,) if name == "whole" else (stop, None):
            module, objective = small.small_model().module, Helped(ctx)
            try:
                result = fit(module, ctx, SETTINGS, objective, before_epoch=before, helpers=objective.helpers)
            except StoppedError:
                continue
        scales.append(objective.helpers["scale"].detach())
        assert objective.shares == sorted(objective.shares)
    assert scales[0] != 1
    assert torch.equal(scales[0], scales[1])
    steps = ctx.data.steps_per_epoch(64)
    assert objective.shares[0] == pytest.approx(2 / 3) and objective.shares[-1] == pytest.approx(1 - 1 / (3 * steps))
    assert all(row["gradient of labels"] > row["gradient of size"] > 0 for row in result.history)
