"""How channels are ranked: what may be removed first."""

from typing import Literal

from torch import Tensor, nn

from compressor.context import RunContext
from compressor.data.unlabeled import only_labelled

Importance = Literal["magnitude", "taylor", "bn-scale", "reconstruction", "random"]


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


def importance_of(tensor: Tensor, importance: Importance) -> Tensor:
    """What every single weight counts, float32 in the tensor's shape: its square, or for ``taylor`` |weight * grad|.

    The second is the first-order change of the loss without it (Molchanov et al. 2019,
    https://arxiv.org/abs/1906.10771).
    """
    if importance == "taylor":
        assert tensor.grad is not None, "gradients are accumulated before anything is ranked by taylor"
        return (tensor.detach() * tensor.grad).abs().float()
    return tensor.detach().square().float()
