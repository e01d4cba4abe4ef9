"""The ratio that meets a budget: found by pruning copies and measuring them, without training."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, model_validator
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.copies import copy_of
from compressor.errors import BudgetError, PlanError
from compressor.export.onnx import export_onnx
from compressor.measure import count_macs, count_params, interleaved_latency, timed_inputs
from compressor.models import TorchModel
from compressor.onnx_files import file_size
from compressor.runners import OnnxRunner, available
from compressor.target import Budget

HIGHEST, PRECISION = 0.97, 0.005
CLOSEST = 1 / 8
# What is out of reach is come near to: to the last hundredth would cost half the channels that are left.
NEAR = 1.02
BY_CLOCK = ("latency", "latency_ms")
Prune = Callable[[nn.Module, float], object]


class PruneBudget(Budget):
    """What may remain after pruning: exactly one of macs, params, size, size_mb, latency, latency_ms."""

    nearest: bool = Field(
        default=False,
        description="where the network can't be made so small, as small as it can be, and say so; else refuse",
    )

    @model_validator(mode="after")
    def _one_limit(self) -> "PruneBudget":
        limits = self.limits()
        if "score_drop" in limits or len(limits) != 1:
            raise ValueError("wanted exactly one of macs, params, size, size_mb, latency, latency_ms")
        return self

    @property
    def name(self) -> str:
        """The one that is set."""
        return next(iter(self.limits()))

    @property
    def limit(self) -> float:
        """Its value, as typed."""
        return next(iter(self.limits().values()))


def check_measurable(budget: PruneBudget, ctx: RunContext) -> None:
    """Refuse a latency that can't be measured here.

    Raises:
        PlanError: Naming what can be set instead.
    """
    reason = available(ctx.target)
    if budget.name in BY_CLOCK and reason is not None:
        raise PlanError(
            f"prune.budget.{budget.name} can't be measured on this machine: {reason}",
            "prune.budget.macs or prune.budget.size",
        )


def find_ratio(model: TorchModel, budget: PruneBudget, ctx: RunContext, prune: Prune) -> tuple[float, str]:
    """The smallest ratio whose pruned copy is within the budget, found between bounds that close in on it.

    Each next ratio is where a cost that falls with the square of what is left would be within the budget, which most
    costs nearly do; never so near to a bound that less than an eighth is ruled out. Fractions are of the run's
    reference; size and latency are those of the exported float file.

    Args:
        model: Left untouched.
        budget: One limit.
        ctx: Gives the reference and example inputs.
        prune: Prunes a module in place by a ratio.

    Returns:
        The ratio, and what there is to say where ``budget.nearest`` stands for a budget out of reach.

    Raises:
        BudgetError: Even the highest ratio stays above; holds what it reaches.
    """
    inputs = ctx.task.example_inputs(ctx.data, max(2, ctx.target.batch_size))

    def cost(module: nn.Module) -> float:
        return _cost(TorchModel(module, model.info), budget.name, ctx, inputs)

    def cost_at(ratio: float) -> float:
        pruned = copy_of(model.module)
        prune(pruned, ratio)
        return cost(pruned)

    relative = budget.name in ("macs", "params", "size", "latency") and budget.limit <= 1
    limit = budget.limit * cost(ctx.reference.module) if relative else budget.limit
    whole = cost(model.module)
    if whole <= limit:
        return 0.0, ""
    low, high = 0.0, HIGHEST
    smallest = cost_at(high)
    said = ""
    if smallest > limit:
        unit = smallest / (limit / budget.limit)
        why = (
            f"prune.budget.{budget.name} = {budget.limit:g} can't be reached: "
            f"removing {HIGHEST:.0%} of every layer's channels still leaves {unit:.3g}"
        )
        if not budget.nearest:
            raise BudgetError(why, unit, f"--set prune.budget.{budget.name}={unit * 1.05:.2g}")
        if smallest >= whole:
            # By size, nothing can go, and the caller says which layer why. By the clock the cost is that of the calls.
            return (0.0, f"{why}; that gains nothing: nothing is removed") if budget.name in BY_CLOCK else (high, why)
        limit, said = smallest * NEAR, f"{why}; the nearest is taken"
    above, below = whole, smallest
    while high - low > PRECISION:
        share = (above**0.5 - limit**0.5) / (above**0.5 - below**0.5)
        middle = low + (high - low) * min(max(share, CLOSEST), 1 - CLOSEST)
        found = cost_at(middle)
        if found <= limit:
            high, below = middle, found
        else:
            low, above = middle, found
    return high, said


def _cost(model: TorchModel, name: str, ctx: RunContext, inputs: tuple[Tensor, ...]) -> float:
    if name == "macs":
        return float(count_macs(model.module, inputs))
    if name == "params":
        return float(count_params(model.module))
    with tempfile.TemporaryDirectory() as folder:
        exported = export_onnx(model, Path(folder) / "model.onnx", inputs, opset=ctx.target.opset)
        if name in ("size", "size_mb"):
            return file_size(exported.path) / (1e6 if name == "size_mb" else 1)
        with OnnxRunner(exported.path, threads=ctx.target.threads) as runner:
            p50 = interleaved_latency([runner], [timed_inputs(ctx)], threads=ctx.target.threads)[0].p50
    assert p50 is not None
    return p50
