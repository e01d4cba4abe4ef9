"""How channels are ranked: what may be removed first."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from compressor.context import RunContext
from compressor.data import Batch, Data
from compressor.data.unlabeled import only_labelled
from compressor.distill import KdSettings
from compressor.distill.objective import Distillation
from compressor.errors import PlanError
from compressor.tasks import in_mode

Importance = Literal[
    "magnitude", "taylor", "bn-scale", "fisher", "lamp", "hessian", "kd-taylor", "reconstruction", "random"
]
# Those that ``measure_gradients`` comes before.
BY_GRADIENTS = ("taylor", "fisher", "hessian", "kd-taylor")
SAMPLES, BATCH = 512, 64
# Squares of a batch's mean gradient lose what differs from sample to sample: small batches keep more of it.
FISHER_BATCH = 16
# Each costs about three of the others.
HESSIAN_BATCHES = 4
# A mean KL divergence under this is what rounding makes of equal answers.
SAME_ANSWERS = 1e-6
LossOf = Callable[[Batch], Tensor]


def measure_gradients(module: nn.Module, importance: Importance, ctx: RunContext, kd: KdSettings | None = None) -> None:
    """Leave in ``.grad`` what the ranking reads of a loss; nothing for a ranking that reads none.

    Args:
        module: In eval mode while it is called; its mode is restored.
        importance: ``taylor`` and ``kd-taylor`` read gradients, ``fisher`` their squares, ``hessian`` the Hessian's
            diagonal.
        ctx: Gives data, task, seed, and for ``kd-taylor`` the teachers; without any it is ``taylor``, as a control
            arm trains on labels alone.
        kd: How the teachers' answers are compared with the network's.

    Raises:
        PlanError: The network answers as its teachers, so that ``kd-taylor`` has no gradient, or an operator in it
            has no second derivative.
    """
    if importance == "kd-taylor" and ctx.teachers:
        _accumulate_from_teachers(module, ctx, kd or KdSettings())
    elif importance in ("taylor", "kd-taylor"):
        accumulate_gradients(module, ctx)
    elif importance == "fisher":
        accumulate_squares(module, _on_labels(module, ctx, FISHER_BATCH, SAMPLES // FISHER_BATCH))
    elif importance == "hessian":
        estimate_diagonal(module, _on_labels(module, ctx, BATCH, HESSIAN_BATCHES), ctx.seed)


def accumulate_gradients(module: nn.Module, ctx: RunContext, batches: int = SAMPLES // BATCH) -> None:
    """Gradients of the task's loss over training batches, summed into ``.grad``: what ``taylor`` reads.

    Args:
        module: In eval mode while it is called; its mode is restored.
        ctx: Gives data, task, seed.
        batches: How many batches of 64.
    """
    module.zero_grad(set_to_none=True)
    for loss in _on_labels(module, ctx, BATCH, batches):
        loss.backward()


def accumulate_squares(module: nn.Module, losses: Iterable[Tensor]) -> None:
    """Squares of each loss's gradient, summed into ``.grad``: the empirical Fisher information's diagonal.

    Theis et al. 2018 (https://arxiv.org/abs/1801.05787) prune by it.

    Args:
        module: Its parameters are those of the losses.
        losses: Scalars, each of its own batch; computed one by one.
    """
    squares: dict[nn.Parameter, Tensor] = {}
    module.zero_grad(set_to_none=True)
    for loss in losses:
        loss.backward()
        for parameter in module.parameters():
            if parameter.grad is not None:
                squares[parameter] = squares.get(parameter, 0.0) + parameter.grad.square()
        module.zero_grad(set_to_none=True)
    _leave(module, squares)


def estimate_diagonal(module: nn.Module, losses: Iterable[Tensor], seed: int = 0) -> None:
    """The diagonal of the losses' Hessian, summed over them and left in ``.grad``, by Hutchinson's estimate.

    ``v * (H v)`` with v of random signs has the diagonal as its mean; one draw a loss (Yao et al. 2020,
    https://arxiv.org/abs/2006.00719, section 3.2). Exact where the Hessian is diagonal.

    Args:
        module: Its parameters are those of the losses.
        losses: Scalars, each of its own batch; computed one by one.
        seed: Of the signs.

    Raises:
        PlanError: An operator's backward can't be differentiated.
    """
    chance = torch.Generator().manual_seed(seed)
    sums: dict[nn.Parameter, Tensor] = {}
    module.zero_grad(set_to_none=True)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    # Fused attention has no second derivative.
    with sdpa_kernel(SDPBackend.MATH):
        for loss in losses:
            signs = [torch.randint(0, 2, one.shape, generator=chance).mul(2).sub(1).to(one) for one in trained]
            try:
                products = _hessian_times(loss, trained, signs)
            except RuntimeError as error:
                raise PlanError(
                    f"prune.importance = 'hessian': {type(module).__name__} can't be differentiated twice ({error})",
                    "fisher, or taylor",
                ) from error
            for parameter, sign, product in zip(trained, signs, products, strict=True):
                if product is not None:
                    sums[parameter] = sums.get(parameter, 0.0) + sign * product.detach()
    _leave(module, sums)


def importance_of(tensor: Tensor, importance: Importance) -> Tensor:
    """What every single weight counts, float32 in the tensor's shape: its square, or what the loss says of it.

    ``taylor`` and ``kd-taylor``: |weight * gradient|, the first-order change of the loss without it (Molchanov et
    al. 2019, https://arxiv.org/abs/1906.10771). ``fisher``: weight² times the squared gradients. ``hessian``: half of
    weight² times the Hessian's diagonal, the second-order change (LeCun et al. 1989, Optimal Brain Damage), whichever
    way: of an estimate the lowest below 0 are those that are least known.
    """
    if importance not in BY_GRADIENTS:
        return tensor.detach().square().float()
    assert tensor.grad is not None, f"measure_gradients comes before anything is ranked by {importance}"
    if importance == "fisher":
        return (tensor.detach().square() * tensor.grad).float()
    if importance == "hessian":
        return (tensor.detach().square() * tensor.grad.abs() / 2).float()
    return (tensor.detach() * tensor.grad).abs().float()


def lamp(squares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each square over the sum of itself and all larger ones, so that layers can be compared; the largest has 1.

    Lee et al. 2021 (https://arxiv.org/abs/2010.07611, equation 5) for single weights; here ``squares`` (channels,)
    are those of a layer's channels.
    """
    order = np.argsort(squares, kind="stable")
    larger = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = squares[order] / np.maximum(larger, np.finfo(np.float64).tiny)
    return scores


def _losses(module: nn.Module, ctx: RunContext, data: Data, size: int, batches: int, of: LossOf) -> Iterator[Tensor]:
    device = str(next(module.parameters()).device)
    with in_mode(module, training=False):
        for step, batch in enumerate(data.training_batches(size, ctx.seed, epoch=0)):
            if step == batches:
                break
            yield of(batch.to(device))


def _on_labels(module: nn.Module, ctx: RunContext, size: int, batches: int) -> Iterator[Tensor]:
    def of(batch: Batch) -> Tensor:
        return ctx.task.loss(ctx.task.forward(module, batch), batch)

    return _losses(module, ctx, only_labelled(ctx.data), size, batches, of)


def _accumulate_from_teachers(module: nn.Module, ctx: RunContext, kd: KdSettings) -> None:
    response = "kd_kl" if kd.response == "none" else kd.response
    alone = {"alpha": 1.0, "terms": (), "schedule": "constant", "response": response}
    objective = Distillation(ctx, kd.model_copy(update=alone), module)
    highest = 0.0
    module.zero_grad(set_to_none=True)
    try:
        for loss in _losses(
            module, ctx, ctx.data, BATCH, SAMPLES // BATCH, lambda batch: objective(module, batch, 0.0).total
        ):
            highest = max(highest, abs(float(loss.detach())))
            loss.backward()
    finally:
        objective.close()
    if highest < SAME_ANSWERS:
        raise PlanError(
            "prune.importance = 'kd-taylor': the network answers as its teachers do, so that the loss between them has "
            "no gradient",
            "fisher, which is what remains of it to second order, taylor, or --teacher with another network",
        )


def _hessian_times(loss: Tensor, trained: list[nn.Parameter], vector: list[Tensor]) -> tuple[Tensor | None, ...]:
    gradients = torch.autograd.grad(loss, trained, create_graph=True, allow_unused=True)
    pairs = [(one, part) for one, part in zip(gradients, vector, strict=True) if one is not None and one.requires_grad]
    if not pairs:
        return (None,) * len(trained)
    product = torch.stack([(one * part).sum() for one, part in pairs]).sum()
    found: tuple[Tensor | None, ...] = torch.autograd.grad(product, trained, allow_unused=True)
    return found


def _leave(module: nn.Module, values: dict[nn.Parameter, Tensor]) -> None:
    for parameter in module.parameters():
        parameter.grad = values.get(parameter)
