"""How channels are ranked: what may be removed first."""

from typing import Any, Literal

import torch
import torch_pruning
from torch import nn

from compressor.context import RunContext

Importance = Literal["magnitude", "taylor", "bn-scale", "random"]


class _SeededRandom(torch_pruning.importance.Importance):  # type: ignore[misc]
    """The control: a ranking that knows nothing, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, group: Any, **_: Any) -> torch.Tensor:
        _, indices = group[0]
        return torch.rand(len(indices), generator=self._generator)


def make_importance(name: Importance, seed: int = 0) -> Any:
    """The ranking of that name, over whole groups of coupled channels.

    - ``magnitude``: L2 norm of a channel's weights in all coupled layers (https://arxiv.org/abs/1608.08710);
    - ``taylor``: ``|weight * gradient|``, the first-order change of the loss (https://arxiv.org/abs/1906.10771);
    - ``bn-scale``: BatchNorm's gamma (https://arxiv.org/abs/1708.06519);
    - ``random``: the control.
    """
    if name == "taylor":
        return torch_pruning.importance.GroupTaylorImportance()
    if name == "bn-scale":
        return torch_pruning.importance.BNScaleImportance()
    if name == "random":
        return _SeededRandom(seed)
    return torch_pruning.importance.GroupMagnitudeImportance(p=2)


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
    for step, batch in enumerate(ctx.data.training_batches(64, ctx.seed, epoch=0)):
        if step == batches:
            break
        moved = batch.to(ctx.device)
        ctx.task.loss(ctx.task.forward(module, moved), moved).backward()
    module.train(was_training)
