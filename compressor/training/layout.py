"""Memory layout: the one place that decides whether a network's images lie row by row or channels last."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.copies import copy_of
from compressor.data import Batch
from compressor.errors import PlanError
from compressor.training.kernels import has_bf16_kernels

Choice = Literal["auto", "on", "off"]

# Samples. Two already have strides that tell the layouts apart.
TRIED = 2
# Of the largest answer: kernels add up in another order, in TF32 on a GPU; a wrong layout is off by all of it.
CLOSE = 0.05


@dataclass(frozen=True, slots=True)
class Layout:
    """How a network's kernels and the images that it is fed lie in memory."""

    channels_last: bool

    def place(self, module: nn.Module, device: str) -> nn.Module:
        """Move a network, in place, to the device and into this layout."""
        wanted = torch.channels_last if self.channels_last else torch.contiguous_format
        return module.to(device).to(memory_format=wanted)

    def move(self, batch: Batch, device: str) -> Batch:
        """The batch on the device, in this layout."""
        return batch.to(device, self.channels_last)


def layout_of(module: nn.Module) -> Layout:
    """The layout that a network lies in."""
    return Layout(any(p.dim() == 4 and p.stride() != _row_by_row(p) for p in module.parameters()))


def settled_layout(module: nn.Module, ctx: RunContext, choice: Choice, batch: Batch, name: str) -> Layout:
    """``choose_layout`` of the network that a training is about, on record with the reason.

    Raises:
        PlanError: As ``choose_layout``.
    """
    channels_last, _ = ctx.decisions.settle_because(
        f"{name}.channels_last", lambda: choose_layout(module, ctx, choice, batch), setting="train.channels_last"
    )
    return Layout(channels_last)


def choose_layout(module: nn.Module, ctx: RunContext, choice: Choice, batch: Batch) -> tuple[bool, str]:
    """Whether a network is to lie channels last on the run's device, and why.

    The layout is worth having where bf16 kernels are. Elsewhere it gains little, and a try can't be survived
    everywhere: without those instructions torch 2.14 writes out of bounds in the backward pass of some strided
    convolutions. Where it may be had it is tried, since code can depend on how tensors lie (``view`` after a
    convolution does): forward and backward, training and evaluation, on a copy, with some samples of a real batch.

    Args:
        module: Left untouched, wherever it is.
        ctx: Gives task and device.
        choice: ``"on"`` is tried on any device, and is an error where the network can't.
        batch: Real samples.

    Raises:
        PlanError: The network can't, and ``choice`` is ``"on"``.
    """
    if choice == "off":
        return False, "so it was set"
    if not any(p.dim() == 4 for p in module.parameters()):
        return False, "it is about convolutions over images, and the network has none"
    if choice == "auto" and ctx.device == "cpu" and not has_bf16_kernels("cpu"):
        return False, "this CPU has no bf16 instructions, without which it gains little and isn't safe"
    fault = _fault(module, ctx, batch)
    if fault is None:
        return True, "so it was set" if choice == "on" else "tried on a real batch, forward and backward"
    if choice == "on":
        raise PlanError(
            f"train.channels_last=on: the network can't be computed in that layout: {fault}",
            "train.channels_last=auto; in the network's code reshape or flatten instead of view",
        )
    return False, f"tried on a real batch, the network fails in it: {fault}"


def _fault(module: nn.Module, ctx: RunContext, batch: Batch) -> str | None:
    """What goes wrong channels last that goes right row by row."""
    some = batch.of(torch.arange(len(batch.labels)) < TRIED)
    try:
        plain = _answers(module, ctx, some, Layout(channels_last=False))
    except Exception:
        # Whatever this network can't do it can't do in any layout; the training says what.
        return "it fails row by row as well"
    try:
        answers = _answers(module, ctx, some, Layout(channels_last=True))
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if bool((answers - plain).abs().max() > CLOSE * plain.abs().max()):
        return "its answers are others"
    return None


def _answers(module: nn.Module, ctx: RunContext, batch: Batch, layout: Layout) -> Tensor:
    """What a copy gives in evaluation; if it trains channels last, after a step's forward and backward pass."""
    copied = layout.place(copy_of(module), ctx.device)
    moved = layout.move(batch, ctx.device)
    trains = module.training or any(p.requires_grad for p in module.parameters())
    with torch.random.fork_rng(), torch.autocast(ctx.device.partition(":")[0], enabled=False):
        torch.manual_seed(0)
        with torch.no_grad():
            answers = ctx.task.logits(ctx.task.forward(copied.eval(), moved), moved).float()
        if trains and layout.channels_last:
            outputs = ctx.task.forward(copied.train(), moved)
            if outputs.requires_grad:
                outputs.float().square().mean().backward()
    return answers


def _row_by_row(tensor: Tensor) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(tensor.shape[1:]):
        strides.insert(0, strides[0] * size)
    return tuple(strides)
