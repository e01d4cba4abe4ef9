"""How much each channel matters: a score per channel of a group, from weights, gradients or a seed."""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from compressor.context import RunContext

ImportanceName = Literal["magnitude", "taylor", "bn-scale", "random"]
TAYLOR_BATCHES = 8
TAYLOR_BATCH = 64


@dataclass(frozen=True, slots=True)
class Member:
    """One layer's part in a group of channels that can only be removed together.

    Args:
        name: The layer's name in the network.
        module: The layer.
        role: ``"out"`` where the channels leave the layer (norms and depthwise convolutions too),
            ``"in"`` where they enter it.
        channels: Indices along the layer's own axis.
        roots: For each of them, which of the group's channels it belongs to; several features of a
            linear layer belong to one channel of the convolution before it.
    """

    name: str
    module: nn.Module
    role: Literal["out", "in"]
    channels: tuple[int, ...]
    roots: tuple[int, ...]


Importance = Callable[[Sequence[Member], int], Tensor]


def magnitude(members: Sequence[Member], channels: int) -> Tensor:
    """Squared L2 norm of a channel's weights, in the mean over the layers that make or read it.

    https://arxiv.org/abs/2301.12900: ``I_c = mean_m sum(W_m[c] ** 2)``, divided by its mean over the
    group so that groups compare. Biases don't count.
    """
    parts = [
        _per_channel(member, _axis_sums(member.module, member.role, weight.detach().float().square()), channels)
        for member in members
        if (weight := _weight(member.module)) is not None
    ]
    return _mean(parts, channels)


def bn_scale(members: Sequence[Member], channels: int) -> Tensor:
    """``|gamma|`` of the group's BatchNorms; magnitude where a group has none.

    https://arxiv.org/abs/1708.06519, without its sparsity training.
    """
    parts = [
        _per_channel(member, member.module.weight.detach().float().abs(), channels)
        for member in members
        if isinstance(member.module, _BatchNorm) and member.module.affine
    ]
    return _mean(parts, channels) if parts else magnitude(members, channels)


def random_scores(seed: int) -> Importance:
    """Uniform scores, a function of the seed and the group's first layer: the control for the others."""

    def score(members: Sequence[Member], channels: int) -> Tensor:
        digest = hashlib.sha256(f"{seed}:{members[0].name}:{channels}".encode()).digest()
        return torch.rand(channels, generator=torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")))

    return score


@dataclass(frozen=True, slots=True)
class Terms:
    """First-order terms of one layer by batch: ``sum(w * dL/dw)`` along its output and its input axis."""

    out: Tensor
    into: Tensor


def taylor(terms: Mapping[str, Terms]) -> Importance:
    """The squared first-order estimate of how the loss changes when a channel is zeroed.

    https://arxiv.org/abs/1906.10771: ``I_c = mean_b (sum(w * dL_b/dw)) ** 2`` over batches ``b``, in the
    mean over the layers that make or read the channel, divided by its mean over the group.

    Args:
        terms: By layer name, from ``taylor_terms``.
    """

    def score(members: Sequence[Member], channels: int) -> Tensor:
        parts = []
        for member in members:
            if member.name in terms:
                found = terms[member.name]
                by_batch = found.out if member.role == "out" else found.into
                summed = torch.stack([_per_channel(member, row, channels) for row in by_batch])
                parts.append(summed.square().mean(0))
        return _mean(parts, channels)

    return score


def taylor_terms(module: nn.Module, losses: Callable[[nn.Module], Any]) -> dict[str, Terms]:
    """Collect the terms of every weighted layer over a few batches, in eval mode.

    Args:
        module: Left as it was: mode, gradients and ``requires_grad``.
        losses: Gives one scalar loss per batch, lazily.
    """
    layers = {name: child for name, child in module.named_modules() if _weight(child) is not None}
    modes = {child: child.training for child in module.modules()}
    states = [(p, p.requires_grad, p.grad) for p in module.parameters()]
    rows: dict[str, tuple[list[Tensor], list[Tensor]]] = {name: ([], []) for name in layers}
    module.eval().requires_grad_(True)
    try:
        with torch.enable_grad():
            for loss in losses(module):
                module.zero_grad(set_to_none=True)
                loss.backward()
                for name, layer in layers.items():
                    out, into = _first_order(layer)
                    rows[name][0].append(out)
                    rows[name][1].append(into)
    finally:
        for parameter, trained, grad in states:
            parameter.requires_grad_(trained)
            parameter.grad = grad
        for child, mode in modes.items():
            child.training = mode
    return {name: Terms(torch.stack(out), torch.stack(into)) for name, (out, into) in rows.items() if out}


def make_importance(name: ImportanceName, module: nn.Module, ctx: RunContext) -> Importance:
    """The importance of that name for a network as it is now.

    Args:
        name: Which one.
        module: On ``ctx.device``; Taylor runs a few training batches through it and leaves it as it was.
        ctx: Gives the batches, the loss and the seed.
    """
    if name == "taylor":
        batches = itertools.islice(ctx.data.training_batches(TAYLOR_BATCH, ctx.seed, epoch=0), TAYLOR_BATCHES)
        moved = (batch.to(ctx.device) for batch in batches)
        return taylor(
            taylor_terms(module, lambda net: (ctx.task.loss(ctx.task.forward(net, batch), batch) for batch in moved))
        )
    if name == "random":
        return random_scores(ctx.seed)
    return {"magnitude": magnitude, "bn-scale": bn_scale}[name]


def _weight(module: nn.Module) -> nn.Parameter | None:
    if not isinstance(module, (_ConvNd, nn.Linear, _BatchNorm, nn.LayerNorm, nn.GroupNorm)):
        return None
    weight = module.weight
    return weight if isinstance(weight, nn.Parameter) else None


def _axis_sums(module: nn.Module, role: str, values: Tensor) -> Tensor:
    """Sums over all axes but one of a weight-shaped tensor: one value per output or input channel."""
    if not isinstance(module, (_ConvNd, nn.Linear)):
        return values.flatten()
    groups = module.groups if isinstance(module, _ConvNd) else 1
    if isinstance(module, _ConvNd) and module.transposed:
        # (in, out / groups, ...): as an ordinary kernel of each group it is (out / groups, in / groups, ...)
        grouped = values.unflatten(0, (groups, -1)).transpose(1, 2)
    else:
        grouped = values.unflatten(0, (groups, -1))
    # Now (groups, out / groups, in / groups, ...).
    return (grouped.flatten(2).sum(2) if role == "out" else grouped.flatten(3).sum(3).sum(1) if grouped.dim() > 3
            else grouped.sum(1)).flatten()


def _first_order(layer: nn.Module) -> tuple[Tensor, Tensor]:
    weight = _weight(layer)
    assert weight is not None
    if weight.grad is None:
        zeros = torch.zeros_like(weight, dtype=torch.float32)
        return _axis_sums(layer, "out", zeros).cpu(), _axis_sums(layer, "in", zeros).cpu()
    product = (weight * weight.grad).detach().float()
    out = _axis_sums(layer, "out", product)
    bias = getattr(layer, "bias", None)
    if isinstance(bias, nn.Parameter) and bias.grad is not None:
        # Zeroing a channel zeroes its bias too.
        out = out + (bias * bias.grad).detach().float()
    return out.cpu(), _axis_sums(layer, "in", product).cpu()


def _per_channel(member: Member, values: Tensor, channels: int) -> Tensor:
    summed = torch.zeros(channels)
    return summed.index_add_(0, torch.tensor(member.roots), values.cpu()[list(member.channels)])


def _mean(parts: Sequence[Tensor], channels: int) -> Tensor:
    if not parts:
        return torch.ones(channels)
    score = torch.stack(list(parts)).mean(0)
    return score / score.mean().clamp_min(1e-30)
