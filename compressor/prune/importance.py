"""How channels are ranked: what may be removed first."""

from typing import Literal

from torch import nn

from compressor.context import RunContext
from compressor.data.unlabeled import only_labelled

Importance = Literal["magnitude", "taylor", "bn-scale", "random"]


def accumulate_gradients(module: nn.Module, ctx: RunContext, batches: int = 8) -> None:
    """Gradients of the task's loss over training batches, summed into ``.grad``: what ``taylor`` reads.

    Args:
        module: In eval mode while it is called; its mode is restored.
        ctx: Gives data, task, seed.
        batches: How many batches of 64.
    """
    was_training = module.training
    module.eval()
    module.zero_grad(set_to_none=True)
    for step, batch in enumerate(only_labelled(ctx.data).training_batches(64, ctx.seed, epoch=0)):
        if step == batches:
            break
        moved = batch.to(ctx.device)
        ctx.task.loss(ctx.task.forward(module, moved), moved).backward()
    module.train(was_training)
