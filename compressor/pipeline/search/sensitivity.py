"""What each part of a network is to its score: channels that leave alone and layers that round alone, untrained."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from compressor.blocks import attentions, feed_forwards
from compressor.context import Progress, RunContext, ShowProgress, silent
from compressor.copies import copy_of
from compressor.data.batches import Subset
from compressor.data.splits import stratified
from compressor.digests import module_digest, seal
from compressor.errors import InputError
from compressor.measure import count_macs, count_params, paired_drop
from compressor.models import TorchModel, WeightBits
from compressor.pipeline.cache import stage_key
from compressor.pipeline.job import Job
from compressor.pipeline.step import facts_of
from compressor.prune import PruneReport, prune_blocks, prune_channels
from compressor.prune.channels import coupled_layers
from compressor.prune.importance import Importance, measure_gradients
from compressor.prune.stage import Prune
from compressor.prune.transformers import is_transformer
from compressor.quantize import calibrate, insert_quantizers, place
from compressor.quantize.insertion import captured, weight_quantizers
from compressor.quantize.operators import layer_name
from compressor.quantize.stage import EXAMPLES, Quantize, bits_here
from compressor.reading import as_record, parse_json, read_text
from compressor.report import Sensitivity
from compressor.training import evaluate
from compressor.writing import write_atomically

# From coarse to fine: where there is no time for all, every group has been measured at the first.
RATIOS = (0.5, 0.25)
SAMPLES, SECONDS = 500, 60.0
CALIBRATED = 64


@dataclass(frozen=True)
class Part:
    """One thing that is done to a copy of a network alone.

    Args:
        about: What is known of it before it is measured.
        make: The changed copy, None where nothing changes, and what is known of it then.
    """

    about: Sensitivity
    make: Callable[[], tuple[nn.Module | None, Sensitivity]]


def sensitivity_of(
    job: Job, model: TorchModel, *, seconds: float = SECONDS, progress: ShowProgress = silent
) -> list[Sensitivity]:
    """Sensitivities of a network to the job's pruning and rounding, from the run's folder where they are known.

    Args:
        job: Prepared; gives data, target, the prune stage's ranking and, if it has one, the quantize stage.
        model: The network; left untouched.
        seconds: For all measurements together; none that would take longer is begun. Finding the groups and capturing
            the network's graph come before.
        progress: Where reports go.

    Returns:
        Every group at every ratio, and every layer that int8 could hold; those without a drop say why.

    Raises:
        PlanError: The network can't be followed, ranked or captured.
    """
    prune = next((stage for stage in reversed(job.stages) if isinstance(stage, Prune)), Prune())
    quantize = next((stage for stage in job.stages if isinstance(stage, Quantize)), None)
    settings = {
        "prune": prune.model_dump(mode="json"),
        "quantize": quantize and quantize.model_dump(mode="json"),
        "ratios": RATIOS,
        "samples": SAMPLES,
        "seconds": seconds,
    }
    facts = {**facts_of(job, job.all_teachers), "sensitivity": settings}
    key = stage_key(None, module_digest(model.module), facts)
    path = job.out / "search" / f"sensitivity-{key[:12]}.json"
    try:
        known = parse_json(read_text(path), dict, path.name)
        if known.pop("seal", None) == seal(known) and known["key"] == key:
            return [as_record(Sensitivity, values, path.name) for values in known["parts"]]
    except InputError:
        # Not there yet, or not what was written: measured anew.
        pass
    ctx = job.context(path.parent, job.all_teachers, progress, model.info)
    found = measure_parts(model.module, parts_of(model.module, ctx, prune, quantize), ctx, seconds=seconds)
    values = {"key": key, "parts": [one.model_dump(mode="json") for one in found]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({**values, "seal": seal(values)}, indent=2).encode())
    return found


def parts_of(module: nn.Module, ctx: RunContext, prune: Prune, quantize: Quantize | None) -> list[Part]:
    """All that can be measured of a network, in the order in which it says most.

    Args:
        module: Left untouched.
        ctx: Gives data, task and target.
        prune: Its ranking (``magnitude`` in the place of ``reconstruction``) and the layers that it skips.
        quantize: The layers that it skips, and its bits; None for no rounding.
    """
    importance: Importance = "magnitude" if prune.importance == "reconstruction" else prune.importance
    ranked = copy_of(module).to(ctx.device)
    measure_gradients(ranked, importance, ctx, prune.kd)
    groups = groups_in(ranked, ctx, prune.skip)
    coarse, *fine = (
        [_cut(ranked, ctx, groups, at, ratio, importance) for at in range(len(groups))] for ratio in RATIOS
    )
    rounded = [] if quantize is None or ctx.target.precision != "int8" else _roundings(module, ctx, quantize)
    return [*coarse, *rounded, *(part for row in fine for part in row)]


def groups_in(module: nn.Module, ctx: RunContext, skip: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Layers that lose channels together, and of a transformer its attention and feed-forwards, each by itself."""
    inputs = tuple(tensor.to(ctx.device) for tensor in ctx.task.example_inputs(ctx.data, 2))
    if is_transformer(module, inputs):
        paths = [block.path for block in attentions(module)] + [pair.first for pair in feed_forwards(module)]
        found: list[tuple[str, ...]] = [(path,) for path in paths]
    else:
        found = coupled_layers(module, inputs)
    return [
        group for group in found if not any(name == one or name.startswith(f"{one}.") for name in group for one in skip)
    ]


def cut_alone(
    module: nn.Module,
    ctx: RunContext,
    groups: Sequence[tuple[str, ...]],
    at: int,
    ratio: float,
    importance: Importance,
) -> tuple[nn.Module, PruneReport]:
    """A copy of a network of which one group alone lost channels, and what it lost.

    Args:
        module: On ``ctx.device``, left untouched; ``measure_gradients`` comes first for a ranking by a loss.
        ctx: Gives example inputs, and the multiple that channels are rounded to.
        groups: From ``groups_in``.
        at: Which of them.
        ratio: Removed of its channels, or heads, or neurons.
        importance: Which of them go.
    """
    copied = copy_of(module)
    for own, given in zip(copied.parameters(), module.parameters(), strict=True):
        own.grad = given.grad
    inputs = tuple(tensor.to(ctx.device) for tensor in ctx.task.example_inputs(ctx.data, 2))
    others = [name for place, group in enumerate(groups) if place != at for name in group]
    multiple = ctx.target.channel_multiple
    if is_transformer(copied, inputs):
        report = prune_blocks(
            copied, heads=ratio, neurons=ratio, importance=importance, round_to=multiple, ignored=others, seed=ctx.seed
        )
    else:
        report = prune_channels(
            copied, inputs, ratio, importance=importance, round_to=multiple, ignored=others, seed=ctx.seed
        )
    return copied, report


def measure_parts(
    module: nn.Module,
    parts: Sequence[Part],
    ctx: RunContext,
    *,
    samples: int = SAMPLES,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> list[Sensitivity]:
    """The drop of the score by each part alone, paired over a stratified part of validation, while there is time.

    Args:
        module: The whole network; left untouched.
        parts: In the order in which they are measured.
        ctx: Gives task and data.
        samples: Of validation, at most.
        seconds: For all together; a part isn't begun that would pass it if it took as long as the longest so far.
        clock: Seconds.
    """
    begun, longest = clock(), 0.0
    few = few_of(ctx, samples)
    whole = evaluate(copy_of(module).to(ctx.device), few)
    found: list[Sensitivity] = []
    for step, part in enumerate(parts, 1):
        start = clock()
        if start + longest - begun > seconds:
            late = f"not measured: {seconds:g} s were not enough for all"
            found += [left.about.model_copy(update={"reason": late}) for left in parts[step - 1 :]]
            break
        made, about = part.make()
        if made is not None:
            drop, stderr = paired_drop(whole, evaluate(made, few), ctx.task.higher_is_better)
            about = about.model_copy(update={"drop": drop, "stderr": stderr, "samples": len(few.data.validation)})
        found.append(about)
        longest = max(longest, clock() - start)
        ctx.progress(Progress("sensitivity", step, len(parts)))
    return found


def few_of(ctx: RunContext, samples: int) -> RunContext:
    """The context with so many samples of validation, each class by its share."""
    split = ctx.data.validation
    chosen = Subset(split, stratified(split.labels, min(samples, len(split)), ctx.seed))
    return replace(ctx, data=replace(ctx.data, validation=chosen))


def _cut(
    module: nn.Module,
    ctx: RunContext,
    groups: Sequence[tuple[str, ...]],
    at: int,
    ratio: float,
    importance: Importance,
) -> Part:
    about = Sensitivity(name=groups[at][0], kind="channels", layers=list(groups[at]), ratio=ratio)

    def make() -> tuple[nn.Module | None, Sensitivity]:
        made, report = cut_alone(module, ctx, groups, at, ratio, importance)
        if not report.removed:
            kept = [report.kept[name] for name in groups[at] if name in report.kept]
            return None, about.model_copy(update={"reason": kept[0] if kept else "rounding leaves them all"})
        inputs = ctx.task.example_inputs(ctx.data, 2)
        saved = {
            "predicted": report.lost,
            "params": count_params(module) - count_params(made),
            "macs": count_macs(module, inputs) - count_macs(made, inputs),
        }
        return made, about.model_copy(update=saved)

    return Part(about, make)


def _roundings(module: nn.Module, ctx: RunContext, quantize: Quantize) -> list[Part]:
    longest = ctx.task.modality.longest(ctx.data)
    # As they are: activations that become ReLU need training.
    graph = captured(copy_of(module).cpu(), ctx.task.example_inputs(ctx.data, EXAMPLES), longest, "keep")
    bits: WeightBits = bits_here(ctx.target) if quantize.weight_bits == "auto" else quantize.weight_bits
    spec = place(graph, ctx.target, quantize.skip, bits)
    weighted = {quantizer.node for quantizer in spec.quantizers if quantizer.role == "weight"}
    names = list(dict.fromkeys(layer_name(node) for node in graph.graph.nodes if node.name in weighted))

    def part(name: str) -> Part:
        about = Sensitivity(name=name, kind="precision", layers=[name])

        def make() -> tuple[nn.Module | None, Sensitivity]:
            others = [*quantize.skip, *(other for other in names if other != name)]
            alone = place(graph, ctx.target, others, bits)
            made = insert_quantizers(copy_of(graph), alone).to(ctx.device)
            batch = next(iter(ctx.data.training_batches(CALIBRATED, ctx.seed, epoch=0)))
            calibrate(made, [ctx.task.inputs(batch.to(ctx.device))])
            rounded = sum(weight.numel() for _, weight in weight_quantizers(made))
            return made, about.model_copy(update={"params": rounded})

        return Part(about, make)

    return list(map(part, names))
