"""Which network learns: the same, a named one, or the largest smaller relative that fits a budget."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.copies import copy_of
from compressor.distill.layers import Choice, layer_count, shallower
from compressor.errors import BudgetError, InputError
from compressor.factories import build, is_known_library, parse_factory
from compressor.importing import import_object
from compressor.measure import count_macs, count_params
from compressor.models import FactoryRef, TorchModel
from compressor.training.checkpoint import put_back

WIDTHS = ("width", "width_mult", "width_multiplier", "width_per_group", "base_width", "embed_dim")
DEPTHS = ("layers", "depths", "depth", "num_layers", "blocks")
SHARES = (0.75, 0.5, 0.375, 0.25)
FAMILIES = (
    ("resnet152", "resnet101", "resnet50", "resnet34", "resnet18"),
    ("vgg19_bn", "vgg16_bn", "vgg13_bn", "vgg11_bn"),
    ("vgg19", "vgg16", "vgg13", "vgg11"),
    ("mobilenet_v3_large", "mobilenet_v3_small"),
    tuple(f"efficientnet_b{size}" for size in range(7, -1, -1)),
    ("efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s"),
    ("convnext_large", "convnext_base", "convnext_small", "convnext_tiny"),
    ("densenet161", "densenet201", "densenet169", "densenet121"),
    ("shufflenet_v2_x2_0", "shufflenet_v2_x1_5", "shufflenet_v2_x1_0", "shufflenet_v2_x0_5"),
    ("mnasnet1_3", "mnasnet1_0", "mnasnet0_75", "mnasnet0_5"),
    ("swin_b", "swin_s", "swin_t"),
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A student, why it is this one, and whether its weights are where it starts: nothing is copied over them."""

    model: TorchModel
    reason: str
    weighted: bool = False


def same_architecture(reference: TorchModel) -> Chosen:
    """The reference's own architecture and weights: self-distillation."""
    student = TorchModel(copy_of(reference.module), reference.info, reference.builder)
    return Chosen(student, "the same architecture, starting from the reference's weights", weighted=True)


def _as_it_is(reference: TorchModel, why: str) -> Chosen:
    same = same_architecture(reference)
    return replace(same, reason=f"{same.reason}: {why}")


def named_student(name: str, reference: TorchModel, seed: int) -> Chosen:
    """A network of a known library, ``"torchvision:resnet18"``, with as many outputs as the reference.

    Raises:
        InputError: The name is not of a known library, or it doesn't build.
    """
    ref = parse_factory(name, _classes_argument(name, reference))
    if not is_known_library(ref):
        raise InputError(
            f"student '{name}' would import code: a profile names only torchvision, timm, transformers or compressor",
            f"--student {name} on the command line",
        )
    return Chosen(_fresh(ref, reference, seed), f"{ref.reference}, as asked")


def auto_student(reference: TorchModel, budget: dict[str, float], ctx: RunContext, *, nearest: bool = False) -> Chosen:
    """The relative with the most MACs among those within the budget.

    Relatives are the same factory with its width and depth arguments scaled down, or the smaller
    members of the same torchvision family; the same architecture where there are none. Of two with
    about as many MACs (within a tenth) the one with fewer layers wins: on small inputs each call costs
    as much as its arithmetic.

    Args:
        reference: What is made smaller.
        budget: ``{"macs": .., "params": ..}``, as fractions of the reference or counts; may be empty.
        ctx: Gives example inputs and the seed.
        nearest: Take the smallest relative where none is within the budget.

    Raises:
        BudgetError: Relatives exist, but none fits.
    """
    if reference.info.factory is None:
        return _as_it_is(reference, "the model names no factory to build a smaller one with")
    inputs = ctx.task.example_inputs(ctx.data, 2)
    full = _cost(reference.module, inputs)
    limits = _limits(budget, full)
    relatives = [(ref, *_measured(ref, inputs)) for ref in _relatives(reference.info.factory)]
    if not relatives:
        name = reference.info.factory.reference
        return _as_it_is(reference, f"{name} has no width or depth argument and no smaller relative")
    fitting = [entry for entry in relatives if all(entry[1][key] <= limit for key, limit in limits.items())]
    within = "the most MACs within the budget"
    if not fitting:
        smallest = min(relatives, key=lambda entry: entry[1][next(iter(limits))])
        missed = _nothing_fits(f"relative of {reference.info.factory.reference}", limits, smallest[1], full)
        if not nearest:
            raise missed
        if smallest[1][next(iter(limits))] >= full[next(iter(limits))]:
            return _as_it_is(reference, f"{missed.message}, and none is smaller than the reference")
        fitting, within = [smallest], f"the smallest ({missed.message})"
    most = max(entry[1]["macs"] for entry in fitting)
    close = [entry for entry in fitting if entry[1]["macs"] >= 0.9 * most]
    ref, cost, _ = min(close, key=lambda entry: (entry[2], -entry[1]["macs"]))
    arguments = ", ".join(f"{key}={value}" for key, value in ref.arguments.items())
    reason = (
        f"{ref.reference}({arguments}): {cost['macs'] / full['macs']:.0%} of the reference's MACs, "
        f"{cost['params'] / full['params']:.0%} of its parameters; {within} "
        f"among {len(relatives)} relatives"
    )
    return Chosen(_fresh(ref, reference, ctx.seed), reason)


def some_layers(reference: TorchModel, layers: int | Sequence[int], choice: Choice, ctx: RunContext) -> Chosen:
    """A text network of some of the reference's layers, with their weights; see ``shallower``."""
    student, chosen = shallower(reference, layers, choice, ctx)
    listed = ", ".join(map(str, chosen))
    return Chosen(student, f"layers {listed} of the reference, with their weights", weighted=True)


def fewer_layers(
    reference: TorchModel, budget: dict[str, float], choice: Choice, ctx: RunContext, *, nearest: bool = False
) -> Chosen:
    """The text network of the most layers, but fewer than the reference's, that is within the budget.

    Args:
        reference: A text network; one of a single layer is kept as it is.
        budget: ``{"macs": .., "params": ..}``, as fractions of the reference or counts; may be empty.
        choice: Which layers stay.
        ctx: Gives example inputs.
        nearest: Take a single layer where even that is too much.

    Raises:
        BudgetError: A single layer is too much.
    """
    have = layer_count(reference)
    if have == 1:
        return _as_it_is(reference, "it has a single layer")
    inputs = ctx.task.example_inputs(ctx.data, 2)
    full = _cost(reference.module, inputs)
    limits = _limits(budget, full)
    for count in range(have - 1, 0, -1):
        cost = _cost(shallower(reference, count, "spread", ctx)[0].module, inputs)
        fits = all(cost[key] <= limit for key, limit in limits.items())
        if fits or (nearest and count == 1):
            chosen = some_layers(reference, count, choice, ctx)
            why = "the most layers within the budget" if fits else "the budget asks for less than a single layer"
            return replace(chosen, reason=f"{chosen.reason}: {cost['macs'] / full['macs']:.0%} of its MACs; {why}")
    raise _nothing_fits("number of layers", limits, cost, full)


def inherit(student: nn.Module, reference: nn.Module) -> int:
    """Copy the reference's tensors of the same name and shape into a student; how many there were."""
    known = reference.state_dict()
    own = student.state_dict()
    shared = {key: known[key] for key in own if key in known and known[key].shape == own[key].shape}
    put_back(student, shared)
    return sum(value.dim() > 1 for value in shared.values())


def _limits(budget: dict[str, float], full: dict[str, float]) -> dict[str, float]:
    return {key: value * full[key] if value <= 1 else value for key, value in budget.items()}


def _nothing_fits(
    what: str, limits: dict[str, float], smallest: dict[str, float], full: dict[str, float]
) -> BudgetError:
    key = next(iter(limits))
    share = smallest[key] / full[key]
    return BudgetError(
        f"student 'auto': no {what} has {key} <= {limits[key]:,.0f}",
        share,
        f"--set distill.budget.{key}={ceil(1000 * share) / 1000}",
    )


def _relatives(ref: FactoryRef) -> Iterator[FactoryRef]:
    """Smaller versions of a factory's network."""
    module, _, name = ref.reference.rpartition(":")
    for family in FAMILIES:
        if name in family and module.startswith("torchvision"):
            for smaller in family[family.index(name) + 1 :]:
                yield FactoryRef(reference=f"{module}:{smaller}", arguments=ref.arguments)
    known = _arguments(ref)
    width = next((key for key in WIDTHS if key in known), None)
    depth = next((key for key in DEPTHS if key in known), None)
    widths = [known[width]] if width else [None]
    depths = [known[depth]] if depth else [None]
    if width:
        widths += [_scaled(known[width], share) for share in SHARES]
    if depth and _halved(known[depth]) != known[depth]:
        depths.append(_halved(known[depth]))
    for chosen_depth in depths:
        for chosen_width in widths:
            changed = {key: value for key, value in ((width, chosen_width), (depth, chosen_depth)) if key}
            if any(known[key] != value for key, value in changed.items()):
                yield FactoryRef(reference=ref.reference, arguments={**ref.arguments, **changed})


def _arguments(ref: FactoryRef) -> dict[str, Any]:
    """The factory's scalable arguments with their values, given or by default."""
    scalable: dict[str, Any] = {}
    for key, parameter in inspect.signature(import_object(ref.reference)).parameters.items():
        value = ref.arguments.get(key, parameter.default)
        if key in (*WIDTHS, *DEPTHS) and isinstance(value, (int, float, list, tuple)):
            scalable[key] = value
    if "mobilenet_v2" in ref.reference:
        scalable.setdefault("width_mult", ref.arguments.get("width_mult", 1.0))
    return scalable


def _scaled(value: float, share: float) -> float:
    return value * share if isinstance(value, float) else max(8, round(value * share / 8) * 8)


def _halved(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [max(1, count // 2) for count in value]
    return max(1, value // 2)


def _measured(ref: FactoryRef, inputs: tuple[Tensor, ...]) -> tuple[dict[str, float], int]:
    module = build(ref)
    layers = sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in module.modules())
    return _cost(module, inputs), layers


def _cost(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, float]:
    return {"macs": float(count_macs(module, inputs)), "params": float(count_params(module))}


def _fresh(ref: FactoryRef, reference: TorchModel, seed: int) -> TorchModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = build(ref)
    # What its forward gives is found out anew.
    return TorchModel(module, reference.info.model_copy(update={"factory": ref, "output": None}))


def _classes_argument(name: str, reference: TorchModel) -> dict[str, Any]:
    arguments: dict[str, Any] = {"num_classes": len(reference.info.classes)} if reference.info.classes else {}
    if name.startswith("timm") and reference.info.inputs:
        arguments["in_chans"] = reference.info.inputs[0].shape[0]
    return arguments
