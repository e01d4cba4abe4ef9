"""Each generation is taught by the one before, and the best of them is kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import small
import torch

from compressor.distill import KdSettings
from compressor.distill.generations import kd_between_generations
from compressor.distill.stage import Distill
from compressor.training import TrainSettings, evaluate

TRAIN = TrainSettings(epochs=4, batch_size=64, precision="fp32", crop=0)


def test_the_best_of_the_generations_is_kept(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    result = Distill(generations=2, ensemble=True, train=TRAIN).run(small.small_model(), ctx)
    scores = result.metrics["generations"]
    assert list(scores) == ["generation-1", "generation-2", "of-ensemble"]
    assert result.metrics["kept"] == max(scores, key=scores.get)
    assert evaluate(result.model.module, ctx).value == max(scores.values())  # type: ignore[union-attr]
    assert result.metrics["steps"] == 3 * 4 * ctx.data.steps_per_epoch(64)
    assert 0 < result.metrics["ensemble_validation_score"] <= 1
    assert "the mean of all" in result.notes[0]
    assert "alpha is 0.5" in result.notes[1]


def test_generations_start_from_weights_of_their_own(tmp_path: Path) -> None:
    states = []
    for name in ("one", "two"):
        ctx = small.small_context(tmp_path / name)
        Distill(generations=2, train=TRAIN).run(small.small_model(), ctx)
        states.append([torch.load(ctx.workdir / f"generation-{n}.ckpt", weights_only=True) for n in (1, 2)])
    first, second = (state["module"]["conv1.weight"] for state in states[0])
    assert not torch.equal(first, second)
    assert all(
        torch.equal(one["module"]["conv1.weight"], other["module"]["conv1.weight"])
        for one, other in zip(*states, strict=True)
    )


def test_the_control_learns_from_labels_in_every_generation(tmp_path: Path) -> None:
    ctx = replace(small.small_context(tmp_path), teachers=())
    Distill(generations=2, train=TRAIN).run(small.small_model(), ctx)
    for number in (1, 2):
        state = torch.load(tmp_path / f"generation-{number}.ckpt", weights_only=True)
        assert "kd" not in state["history"][0]


def test_an_ensemble_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Distill(ensemble=True)


def test_an_alpha_that_is_set_holds_between_generations_too() -> None:
    assert kd_between_generations(KdSettings()).alpha == 0.5
    assert kd_between_generations(KdSettings(alpha=0.9)).alpha == 0.9
