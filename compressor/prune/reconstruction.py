"""Units chosen by how well the others can stand in for them, and the layer that reads them fitted to fewer."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.data.unlabeled import only_labelled

# Added to the diagonal, as a share of its mean: without it, units that never differ could not be told apart.
RIDGE = 0.01
# Of the units that are left, so many go at once before they are ranked again.
AT_ONCE = 0.05
BATCHES, BATCH_SIZE = 32, 64


def second_moments(
    module: nn.Module, layers: Iterable[str], ctx: RunContext, batches: int = BATCHES
) -> dict[str, Tensor]:
    """What linear layers read over training batches, as mean products of any two of their inputs.

    Args:
        module: Called in eval mode; its mode is restored.
        layers: Paths of linear layers.
        ctx: Gives data, task, seed; padding isn't counted.
        batches: How many batches of 64.

    Returns:
        By path (inputs + 1, inputs + 1) in float32: the last row and column are of a constant 1, for the bias.
    """
    sums: dict[str, Tensor] = {}
    mask: Tensor | None = None

    def keeper(path: str) -> Any:
        def keep(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            given = inputs[0].detach().float()
            if mask is not None and given.shape[: mask.dim()] == mask.shape:
                given = given[mask.bool()]
            rows = given.reshape(-1, given.shape[-1])
            rows = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
            sums[path] = sums.get(path, 0) + rows.T @ rows

        return keep

    was_training = module.training
    module.eval()
    handles = [module.get_submodule(path).register_forward_pre_hook(keeper(path)) for path in layers]
    try:
        with torch.no_grad():
            for step, batch in enumerate(only_labelled(ctx.data).training_batches(BATCH_SIZE, ctx.seed, epoch=0)):
                if step == batches:
                    break
                moved = batch.to(ctx.device)
                mask = ctx.task.mask(moved)
                ctx.task.forward(module, moved)
    finally:
        for handle in handles:
            handle.remove()
        module.train(was_training)
    return {path: total / total[-1, -1] for path, total in sums.items()}


def least_missed(weight: Tensor, moments: Tensor, units: int, keep: int) -> Tensor:
    """The units without which a linear layer's outputs change least, all others fitted to stand in for them.

    Optimal Brain Surgeon (Hassibi and Stork 1993) on one layer's squared error, whole units at a time as ZipLM
    does (Kurtic et al. 2023, https://arxiv.org/abs/2302.04089, section 3.1): the error that a unit B leaves is
    ``tr(W_B (inverse H_BB)^-1 W_B')``.

    Args:
        weight: (outputs, inputs), the inputs of one unit side by side.
        moments: Of the inputs, and of a constant behind them if they have one row more.
        units: How many units the inputs are.
        keep: How many stay.

    Returns:
        Their places in order, (keep,).
    """
    solid = _solid(moments)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(solid))
    left = weight.detach().to(inverse)
    places = torch.arange(weight.shape[1], device=inverse.device).view(units, -1)
    alive = torch.arange(units, device=inverse.device)
    while len(alive) > keep:
        columns = places[alive]
        blocks = inverse[columns[:, :, None], columns[:, None, :]]
        parts = left[:, columns].permute(1, 2, 0)
        errors = (parts * torch.linalg.solve(blocks, parts)).sum((1, 2))
        count = min(len(alive) - keep, max(1, int(len(alive) * AT_ONCE)))
        gone = errors.topk(count, largest=False).indices
        lost = columns[gone].flatten()
        step = torch.linalg.solve(inverse[lost][:, lost], inverse[lost])
        left = left - left[:, lost] @ step[:, : left.shape[1]]
        inverse = inverse - inverse[:, lost] @ step
        stays = torch.ones(len(alive), dtype=torch.bool, device=alive.device)
        stays[gone] = False
        alive = alive[stays]
    return alive.cpu()


def fit_to(layer: nn.Linear, moments: Tensor, columns: Tensor) -> None:
    """Give a linear layer the weights with which these of its inputs alone come nearest to all of them, in place.

    By least squares, as He et al. 2017 (https://arxiv.org/abs/1707.06168, section 3.1); the bias takes the mean of
    what is lost. The other columns are left for whoever takes them out.

    Args:
        layer: Still with all of its inputs.
        moments: Of the inputs and a constant, (inputs + 1, inputs + 1).
        columns: Inputs that stay.
    """
    solid = _solid(moments)
    whole = layer.weight.detach().to(solid)
    read = columns.to(solid.device)
    if layer.bias is not None:
        whole = torch.cat([whole, layer.bias.detach().to(solid)[:, None]], dim=1)
        read = torch.cat([read, torch.tensor([layer.in_features], device=solid.device)])
    else:
        solid = solid[:-1, :-1]
    wanted = whole @ solid[:, read]
    fitted = torch.linalg.solve(solid[read][:, read], wanted.T).T
    with torch.no_grad():
        layer.weight[:, columns] = fitted[:, : len(columns)].to(layer.weight)
        if layer.bias is not None:
            layer.bias.copy_(fitted[:, -1])


def _solid(moments: Tensor) -> Tensor:
    """In float64, and with a little on the diagonal of all but the constant."""
    solid = moments.double().clone()
    diagonal = solid.diagonal()[:-1]
    diagonal += RIDGE * diagonal.mean()
    return solid
