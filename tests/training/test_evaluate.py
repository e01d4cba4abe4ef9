"""Scores against plain torch; BatchNorm's statistics against their definition."""

from pathlib import Path

import small
import torch
from torch import nn

from compressor.training import evaluate, reestimate_batchnorm


def test_score_is_the_share_of_right_answers(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    module = small.small_model().module.train()
    batch = ctx.data.batch("validation", torch.arange(len(ctx.data.validation)))
    module.eval()
    with torch.no_grad():
        right = (module(*batch.inputs).argmax(1) == batch.labels).float().mean()
    module.train()
    assert abs(evaluate(module, ctx).value - float(right)) < 1e-6
    assert module.training


def test_statistics_are_the_mean_over_batches(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    norm = nn.BatchNorm2d(1)
    module = nn.Sequential(norm, nn.Flatten(), nn.Linear(64, 10))
    norm.running_mean.fill_(7.0)  # type: ignore[union-attr]
    reestimate_batchnorm(module, ctx, batches=2)
    batches = [batch.inputs[0] for batch in ctx.data.training_batches(128, ctx.seed, epoch=0)][:2]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean[0], torch.stack([b.mean() for b in batches]).mean())
    torch.testing.assert_close(norm.running_var[0], torch.stack([b.var() for b in batches]).mean())
    assert norm.momentum == 0.1
    assert module.training
