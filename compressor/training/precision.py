"""bf16 or fp32: whichever trains this network faster on this device, by a short timing."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.copies import copy_of
from compressor.data import Batch
from compressor.training.kernels import has_bf16_kernels
from compressor.training.layout import Layout
from compressor.training.probe import OVERDRAWN, Allowance, time_steps

Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def autocast(device: str, precision: str) -> torch.autocast:
    """The autocast context of a precision; off for fp32."""
    return torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=precision == "bf16")


def faster_precision(
    module: nn.Module,
    loss_of: Callable[[nn.Module, Batch], Tensor],
    batch: Batch,
    layout: Layout,
    ctx: RunContext,
    allowance: Allowance,
) -> tuple[Precision, str]:
    """The precision to train in, and why: the faster by steps timed in turn on a copy, fp32 where none could be.

    Plain convolutions are often about twice as fast in bf16 on a CPU that has the instructions,
    depthwise ones slower. fp32 wins ties within 5 %.

    Args:
        module: Left untouched.
        loss_of: Forward and loss of a network on a batch, called under autocast.
        batch: A real one, of the training's size.
        layout: The network's.
        ctx: Gives the device, where the network is.
        allowance: What the timing may cost.
    """
    if not has_bf16_kernels(ctx.device):
        return "fp32", "this device has no bf16 instructions"
    if not allowance.covers(len(PRECISIONS), len(batch.labels)):
        return "fp32", OVERDRAWN
    probe = copy_of(module)

    def step_in(precision: Precision) -> Callable[[Batch], None]:
        def step(part: Batch) -> None:
            with autocast(ctx.device, precision):
                loss = loss_of(probe, part)
            loss.backward()
            probe.zero_grad(set_to_none=True)

        return step

    try:
        timing = time_steps({name: step_in(name) for name in PRECISIONS}, batch, layout, ctx, allowance)
    except RuntimeError as error:
        # If fp32 fails as well, the training says so.
        return "fp32", f"bf16 couldn't be timed: {str(error).partition(chr(10))[0]}"
    if not timing.compared:
        return "fp32", OVERDRAWN
    fp32, bf16 = (timing.seconds[name] for name in PRECISIONS)
    faster: Precision = "bf16" if bf16 < 0.95 * fp32 else "fp32"
    return faster, f"a step takes about {1000 * bf16:.3g} ms in bf16 and {1000 * fp32:.3g} ms in fp32"
