"""Recovery never gives back less than it was handed, where it is told so."""

from dataclasses import replace
from pathlib import Path

import small
import torch

from compressor.distill import KdSettings, labels_only, recover
from compressor.training import TrainSettings, evaluate, fit

GENTLE = TrainSettings(epochs=12, batch_size=64, precision="fp32", crop=0)
VIOLENT = GENTLE.model_copy(update={"epochs": 1, "optimizer": "sgd", "lr": 5.0, "clip_norm": 0.0})


def test_a_better_start_is_put_back(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    module = small.small_model().module
    fit(module, ctx, GENTLE, labels_only(ctx))
    start = {key: value.clone() for key, value in module.state_dict().items()}
    before = evaluate(module, ctx).value
    control = replace(ctx, teachers=())
    result = recover(module, control, VIOLENT, KdSettings(), keep_better_start=True)
    assert result.history[0]["score"] < before
    assert (result.best_epoch, result.score) == (-1, before)
    assert all(torch.equal(module.state_dict()[key], value) for key, value in start.items())


def test_without_being_told_the_best_epoch_is_kept(tmp_path: Path) -> None:
    ctx = replace(small.small_context(tmp_path), teachers=())
    module = small.small_model().module
    fit(module, ctx, GENTLE, labels_only(ctx))
    result = recover(module, ctx, VIOLENT, KdSettings())
    assert result.best_epoch == 0
    assert evaluate(module, ctx).value == result.score
