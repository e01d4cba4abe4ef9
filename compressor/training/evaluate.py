"""What is measured of a network in torch between epochs: its score, and BatchNorm's statistics."""

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from compressor.context import RunContext
from compressor.data import SplitName
from compressor.tasks import Score
from compressor.training.layout import layout_of

ESTIMATION_BATCH, ESTIMATION_BATCHES = 128, 50
# Samples that BatchNorm's statistics are taken from, at most.
REESTIMATED = ESTIMATION_BATCH * ESTIMATION_BATCHES


def evaluate(module: nn.Module, ctx: RunContext, split: SplitName = "validation") -> Score:
    """The task's score of a network on a split, in fp32.

    Args:
        module: On ``ctx.device``; its mode is restored afterwards.
        ctx: Gives the task and the data.
        split: Which samples.
    """
    was_training = module.training
    module.eval()
    layout = layout_of(module)
    outputs = []
    with torch.no_grad():
        for batch in ctx.data.batches(split, ctx.task.modality.evaluation_batch):
            moved = layout.move(batch, ctx.device)
            answers = ctx.task.logits(ctx.task.forward(module, moved), moved)
            outputs.append(answers.float().cpu().numpy())
    module.train(was_training)
    labels = ctx.data.split(split).labels.numpy()
    return ctx.task.score(np.concatenate(outputs), labels, ctx.data)


def reestimate_batchnorm(module: nn.Module, ctx: RunContext, batches: int = ESTIMATION_BATCHES) -> None:
    """Replace BatchNorm's running statistics by means over training batches.

    After channels are removed, every layer's inputs have another distribution; the old statistics
    alone can bring the score down to chance. The plain (cumulative) mean is taken over ``batches``
    batches without augmentation; momentum and mode are restored.

    Args:
        module: On ``ctx.device``.
        ctx: Gives the data and the seed.
        batches: How many batches of 128.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    modes = {m: m.training for m in module.modules()}
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    layout = layout_of(module)
    with torch.no_grad():
        for step, batch in enumerate(ctx.data.training_batches(ESTIMATION_BATCH, ctx.seed, epoch=0)):
            if step == batches:
                break
            ctx.task.forward(module, layout.move(batch, ctx.device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for child, mode in modes.items():
        child.training = mode
