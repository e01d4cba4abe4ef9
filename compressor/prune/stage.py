"""The prune stage: remove channels to a ratio or a budget, then recover with the run's teachers."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.copies import copy_of
from compressor.distill import KdSettings, describe, recover
from compressor.errors import PlanError, StageError
from compressor.measure import count_macs, count_params
from compressor.models import ModelInfo, TorchModel
from compressor.prune.budget import BY_CLOCK, PruneBudget, check_measurable, find_ratio
from compressor.prune.channels import prune_channels
from compressor.prune.configuration import narrowed, width_step
from compressor.prune.importance import Importance, measure_gradients
from compressor.prune.outcome import PruneReport
from compressor.prune.reconstruction import second_moments
from compressor.prune.refit import SAMPLES, forward_on, refit, worth_to_readers
from compressor.prune.transformers import is_transformer, prune_blocks, readers, width_in_blocks
from compressor.prune.width import HINT, STREAM, prune_width
from compressor.stage import Rehearsal, Stage, StageResult
from compressor.training import TrainSettings, evaluate, reestimate_batchnorm
from compressor.training.evaluate import REESTIMATED

# Inputs that a plan fits layers to: enough to see that it can be done.
REHEARSED = 8

# Settings that say how much goes.
AMOUNTS = ("ratio", "budget", "heads", "neurons", "width")


class Prune(Stage):
    """Structural pruning of channels, or of a transformer's heads, feed-forward neurons and width, and recovery."""

    kind: ClassVar[str] = "prune"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel,)
    produces: ClassVar[type] = TorchModel
    one_of: ClassVar[tuple[str, ...]] = ("ratio", "budget")

    ratio: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="removed of each layer's channels; without it and any other amount a run that has "
        "goals searches for what they allow, and one that has none takes 0.5",
    )
    heads: float | None = Field(
        default=None, ge=0, lt=1, description="of a transformer: removed of each block's attention heads; else ratio"
    )
    neurons: float | None = Field(
        default=None, ge=0, lt=1, description="of a transformer: removed of each feed-forward's neurons; else ratio"
    )
    width: float | None = Field(
        default=None, ge=0, lt=1, description="of a transformer: removed of the residual stream's channels; else none"
    )
    budget: PruneBudget | None = Field(
        default=None, description="what may remain: one of macs, params, size, size_mb, latency, latency_ms"
    )
    importance: Importance = Field(
        default="magnitude",
        description="which channels go first: by weights alone ('magnitude', 'bn-scale', 'lamp', which compares layers "
        "where scope is 'global'), by the labels' loss ('taylor' to first order, 'fisher' and 'hessian' to second) or "
        "the teachers' ('kd-taylor'); 'reconstruction' takes those whose loss the layers that read them feel least, "
        "and fits these to fewer: for little or foreign data; random is the control",
    )
    scope: Literal["local", "global"] = Field(
        default="local", description="the ratio holds in every layer, or over all layers together"
    )
    steps: int = Field(default=1, ge=1, description="rounds of pruning and recovery; the epochs are shared out")
    skip: tuple[str, ...] = Field(default=(), description="layers to leave alone, by module path")
    train: TrainSettings = Field(default=TrainSettings(), description="the recovery: how long and how")
    kd: KdSettings = Field(default=KdSettings(), description="alpha and temperature of the recovery")

    @model_validator(mode="after")
    def _one_goal(self) -> "Prune":
        if self.ratio is not None and self.budget is not None:
            raise ValueError("ratio and budget exclude one another")
        if self.steps > self.train.epochs:
            raise ValueError(f"steps = {self.steps} needs as many epochs, train.epochs = {self.train.epochs}")
        return self

    @property
    def is_open(self) -> bool:
        """Whether how much goes is left to the run's goals."""
        return all(getattr(self, name) is None for name in AMOUNTS)

    def opened(self) -> "Prune":
        """The same with how much goes left to the run's goals."""
        return self.model_copy(update=dict.fromkeys(AMOUNTS))

    def rehearse(self, model: TorchModel, ctx: RunContext) -> Rehearsal:
        """Find the ratio where no clock is needed for it, prune by it, and forward."""
        if self.budget is not None:
            check_measurable(self.budget, ctx)
        said = ""
        if self.budget is None or self.budget.name in BY_CLOCK:
            ratio = self.ratio or 0.5
        else:
            ratio, said = find_ratio(
                model, self.budget, ctx, lambda module, part: self._prune(module, part, ctx, model.info)
            )
        # Already within the budget nothing is removed; that something could be is of no interest then.
        trial = copy_of(model.module)
        report = self._prune(trial, ratio, ctx, model.info) if ratio else PruneReport({}, {})
        if report.stays and self.importance == "reconstruction":
            self._refit(trial, copy_of(model.module), report, ctx, REHEARSED)
            trial.cpu()
        inputs = ctx.task.example_inputs(ctx.data, 2)
        trial.eval()(*inputs)
        if ratio and not report.removed:
            raise PlanError(f"prune: no layer can lose channels: {_listed(report.kept)}", "--without prune")
        by_blocks = is_transformer(model.module, inputs)
        total, asked = _channels(model.module, by_blocks), self._asked(model.module, ratio, by_blocks)
        little = self._little(asked / total, 1 - _channels(trial, by_blocks) / total, report.kept) if ratio else []
        layers = len(report.removed.keys() - {STREAM})
        notes = [*_nonempty(said), *little, f"{layers} layers can lose channels", f"left alone: {_listed(report.kept)}"]
        scored = (self.train.epochs + 1 + self.steps) * len(ctx.data.validation)
        return Rehearsal(
            TorchModel(trial, narrowed(model.info, trial), model.builder),
            [*_of_width(report), *notes, *describe(trial, ctx, self.kd)],
            report.by_layer(),
            forwards=scored + self.steps * min(REESTIMATED, len(ctx.data.train)),
        )

    def run(self, model: TorchModel, ctx: RunContext) -> StageResult:
        """Find the ratio, prune, re-estimate BatchNorm, recover; round by round."""
        module = model.module.to(ctx.device)
        inputs = ctx.task.example_inputs(ctx.data, 2)
        metrics: dict[str, Any] = {
            "macs_before": count_macs(module, inputs),
            "params_before": count_params(module),
            "validation_before": evaluate(module, ctx).value,
        }
        ratio, said = self._ratio(model, ctx)
        notes, kept = _nonempty(said), dict[str, str]()
        if ratio:
            by_blocks = is_transformer(module, tuple(tensor.to(ctx.device) for tensor in inputs))
            total, asked = _channels(module, by_blocks), self._asked(module, ratio, by_blocks)
            fits = self.importance == "reconstruction" and not by_blocks
            for step in range(self.steps):
                whole = copy_of(module) if fits else None
                report = self._prune(module, ratio, ctx, model.info, step)
                notes += _of_width(report)
                kept = {name: why for name, why in report.kept.items() if step == 0 or name in kept}
                if whole is not None:
                    notes.append(self._refit(module, whole, report, ctx))
                else:
                    reestimate_batchnorm(module, ctx)
                pruned = evaluate(module, ctx).value
                metrics.setdefault("validation_pruned", pruned)
                if step == self.steps - 1:
                    notes += self._little(asked / total, 1 - _channels(module, by_blocks) / total, kept)
                    notes.append(f"left alone: {_listed(kept)}")
                name = "recover" if self.steps == 1 else f"recover-{step + 1}"
                result = recover(module, ctx, self._share(step), self.kd, name=name, start_score=pruned)
                if result.best_epoch < 0:
                    notes.append(f"{name}: no epoch beat the pruned network on validation: it was kept as it was")
                metrics["validation_recovered"] = result.score
                metrics["steps"] = metrics.get("steps", 0) + result.steps
                metrics["history"] = [*metrics.get("history", []), *result.history]
        elif not said:
            notes.append("the network is within the budget already: nothing was removed")
        metrics |= {
            "ratio": ratio,
            "macs_after": count_macs(module.cpu(), inputs),
            "params_after": count_params(module),
        }
        info = narrowed(model.info, module)
        return StageResult(TorchModel(module, info, model.builder), metrics, notes, kept)

    def _ratio(self, model: TorchModel, ctx: RunContext) -> tuple[float, str]:
        if self.budget is None:
            return self.ratio or 0.5, ""
        budget = self.budget

        def search() -> tuple[float, str]:
            cpu = TorchModel(copy_of(model.module).cpu(), model.info)
            return find_ratio(cpu, budget, ctx, lambda module, ratio: self._prune(module, ratio, ctx, model.info))

        return ctx.decisions.settle_because("ratio", search, setting="prune.ratio")

    def _prune(
        self, module: nn.Module, ratio: float, ctx: RunContext, info: ModelInfo, step: int | None = None
    ) -> PruneReport:
        """Prune to the ratio at once, or in one of the rounds to this one's part of it."""
        device = next(module.parameters()).device
        inputs = tuple(tensor.to(device) for tensor in ctx.task.example_inputs(ctx.data, 2))
        round_to = ctx.target.channel_multiple

        def part(share: float) -> float:
            # Equal shares of what remains compound to the whole ratio.
            return share if step is None else 1 - (1 - share) ** (1 / self.steps)

        measure_gradients(module, self.importance, ctx, self.kd)
        if not is_transformer(module, inputs):
            if self.width:
                raise PlanError(f"prune.width is for transformers: {type(module).__name__} is none", HINT)
            ranking: Importance | dict[str, Tensor] = self.importance
            if self.importance == "reconstruction":
                # What a trial is asked for, sizes, is the same by any ranking.
                ranking = "magnitude" if step is None else worth_to_readers(module.eval(), forward_on(ctx))
            return prune_channels(
                module,
                inputs,
                part(ratio),
                importance=ranking,
                scope=self.scope,
                round_to=round_to,
                ignored=self.skip,
                seed=ctx.seed,
            )
        if self.width and self.importance == "reconstruction":
            raise PlanError(
                "prune.width has no ranking 'reconstruction': no one layer reads the residual stream",
                f"magnitude or taylor, or {HINT}",
            )
        # What a trial is asked for, sizes, is the same by any ranking; this one costs minutes.
        by_moments = self.importance == "reconstruction" and step is not None
        plain: Importance = "magnitude" if self.importance == "reconstruction" else self.importance
        ranked: dict[str, Any] = {"importance": plain, "seed": ctx.seed}
        wide = PruneReport({}, {})
        # All of it in the first round: of a small part rounding could leave nothing.
        if self.width and not step:
            multiple = width_step(info, round_to)
            wide = prune_width(module, inputs, self.width, round_to=multiple, **ranked)
            if not wide.removed:
                raise PlanError(
                    f"prune.width = {self.width:g} of {wide.before[STREAM]} channels removes none in multiples of "
                    f"{multiple}: of target.channel_multiple = {round_to}, and of the network's heads",
                    f"a larger prune.width, or {HINT}",
                )
        heads, neurons = self._shares(ratio)
        if by_moments:
            ranked["importance"] = second_moments(module, readers(module), ctx)
        blocks = prune_blocks(
            module, heads=part(heads), neurons=part(neurons), round_to=round_to, ignored=self.skip, **ranked
        )
        return PruneReport(wide.before | blocks.before, wide.after | blocks.after, blocks.kept)

    def _refit(
        self, module: nn.Module, whole: nn.Module, report: PruneReport, ctx: RunContext, samples: int = SAMPLES
    ) -> str:
        whole, module = (network.to(ctx.device).eval() for network in (whole, module))
        fitted = refit(module, whole, report.stays, forward_on(ctx, samples))
        return f"{len(fitted)} layers were fitted to what they made before"

    def _shares(self, ratio: float) -> tuple[float, float]:
        """Of a transformer's heads and of its neurons."""
        return ratio if self.heads is None else self.heads, ratio if self.neurons is None else self.neurons

    def _asked(self, module: nn.Module, ratio: float, by_blocks: bool) -> float:
        """How many of ``_channels`` are to go."""
        return width_in_blocks(module, *self._shares(ratio)) if by_blocks else ratio * _channels(module, False)

    def _share(self, step: int) -> TrainSettings:
        epochs = self.train.epochs // self.steps + (step < self.train.epochs % self.steps)
        return self.train.model_copy(update={"epochs": epochs})

    def _little(self, ratio: float, removed: float, kept: dict[str, str]) -> list[str]:
        """What to say of a prune under half of what was asked; one that did nothing is a failure, not a result."""
        if self.budget is not None or removed >= ratio / 2:
            return []
        said = f"prune: asked to remove {ratio:.0%} of the channels, only {removed:.0%} could go"
        if removed <= 0:
            raise StageError(
                f"{said}; blocked: {_listed(kept)}",
                "a smaller target.channel_multiple, a smaller prune.ratio, or fewer layers in prune.skip",
            )
        return [said]


def _channels(module: nn.Module, by_blocks: bool) -> float:
    if by_blocks:
        return width_in_blocks(module)
    # By the weights: a captured program has no layers.
    return sum(len(parameter) for parameter in module.parameters() if parameter.dim() > 1)


def _nonempty(said: str) -> list[str]:
    return [said] if said else []


def _of_width(report: PruneReport) -> list[str]:
    """What there is to say of a transformer's width."""
    return [f"width: {report.before[STREAM]} channels to {report.after[STREAM]}"] if STREAM in report.removed else []


def _listed(kept: dict[str, str], shown: int = 4) -> str:
    items = [f"{name} ({reason})" for name, reason in list(kept.items())[:shown]]
    more = f", and {len(kept) - shown} more" if len(kept) > shown else ""
    return ", ".join(items) + more if items else "none"
