"""Shallower students: some of a transformer's layers, with the weights they have (Sanh et al. 2019, section 3)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn

from compressor.context import RunContext
from compressor.data.unlabeled import only_labelled
from compressor.errors import PlanError
from compressor.factories.text_network import build_changed, is_text_network
from compressor.models import TorchModel
from compressor.structure import apply_shapes, manifest_of

Choice = Literal["spread", "measured"]
MEASURED_BATCHES = 8


def layers_in(module: nn.Module) -> tuple[str, nn.ModuleList]:
    """The path and the list of a network's repeated layers: the longest list of modules of one kind.

    Raises:
        PlanError: It has none.
    """
    lists = [
        (path, child)
        for path, child in module.named_modules()
        if isinstance(child, nn.ModuleList) and len({type(item) for item in child}) == 1
    ]
    if not lists:
        raise PlanError(f"{type(module).__name__} has no list of layers to take some of", "distill without layers")
    return max(lists, key=lambda item: len(item[1]))


def layer_count(model: TorchModel) -> int:
    """How many layers a text network runs, also where several of them share their weights.

    Raises:
        PlanError: Its configuration can't say.
    """
    ref = model.info.factory
    if ref is None or not is_text_network(ref):
        raise PlanError(
            "distill.layers takes layers out of a network whose configuration says how many it has; "
            f"{type(model.module).__name__} has none",
            "a Hugging Face folder as the model, or --student for another network",
        )
    config = ref.arguments["config"]
    return int(config.get("num_hidden_layers", config.get("n_layers", len(layers_in(model.module)[1]))))


def shallower(
    model: TorchModel, layers: int | Sequence[int], choice: Choice, ctx: RunContext
) -> tuple[TorchModel, tuple[int, ...]]:
    """A network of fewer layers that starts from the weights of those that stay.

    Args:
        model: Left untouched; from a Hugging Face folder.
        layers: How many, or which, counted from 0.
        choice: Of a number of them: ``spread`` takes the first, the last and evenly between, as DistilBERT does;
            ``measured`` leaves out one after another, each time the one without which the loss on training
            batches is least.
        ctx: Gives data and task for ``measured``.

    Returns:
        The student, and which layers it has.

    Raises:
        PlanError: There aren't so many layers, or the network's configuration can't say how many there are.
    """
    have = layer_count(model)
    path, blocks = layers_in(model.module)
    shared = len(blocks) < have
    count = layers if isinstance(layers, int) else len(layers)
    wanted = range(count) if isinstance(layers, int) else layers
    if not 1 <= count <= have or any(not 0 <= place < have for place in wanted):
        raise PlanError(f"distill.layers = {layers}: the network has {have} layers, 0 to {have - 1}", "fewer layers")
    if shared:
        # ALBERT runs one layer's weights again and again.
        chosen = tuple(range(count))
    elif not isinstance(layers, int):
        chosen = tuple(layers)
    else:
        chosen = spread(have, count) if choice == "spread" else _measured(model, path, count, ctx)
    built = build_changed(model, num_hidden_layers=count, kept_layers=list(chosen))
    state: dict[str, Any] = model.module.state_dict()
    shapes, own = manifest_of(built.module), manifest_of(model.module)
    tensors, attributes = own["tensors"], own["attributes"]
    if not shared:
        state, tensors, attributes = (_renumbered(one, path, chosen) for one in (state, tensors, attributes))
    # Layers that were pruned are narrower than the configuration says.
    shapes["tensors"] |= tensors
    shapes["attributes"] |= {name: value for name, value in attributes.items() if name.startswith(f"{path}.")}
    apply_shapes(built.module, shapes).load_state_dict(state)
    return built, chosen


def spread(have: int, count: int) -> tuple[int, ...]:
    """``count`` of ``have`` places, evenly spread, with the first and the last."""
    if count == 1:
        return (0,)
    return tuple(round(place * (have - 1) / (count - 1)) for place in range(count))


def _measured(model: TorchModel, path: str, count: int, ctx: RunContext) -> tuple[int, ...]:
    """Leave out layers one by one, each time the one that costs the least loss."""
    blocks = model.module.get_submodule(path)
    assert isinstance(blocks, nn.ModuleList)
    whole = list(blocks)
    batches = []
    for batch in only_labelled(ctx.data).training_batches(64, ctx.seed, epoch=0):
        batches.append(batch.to(ctx.device))
        if len(batches) == MEASURED_BATCHES:
            break
    module = model.module.to(ctx.device).eval()
    owner, _, name = path.rpartition(".")

    def loss_of(kept: Sequence[int]) -> float:
        setattr(module.get_submodule(owner), name, nn.ModuleList(whole[place] for place in kept))
        with torch.no_grad():
            return sum(float(ctx.task.loss(ctx.task.forward(module, batch), batch)) for batch in batches)

    kept = list(range(len(whole)))
    try:
        while len(kept) > count:
            without = [[place for place in kept if place != left_out] for left_out in kept]
            kept = min(without, key=loss_of)
    finally:
        setattr(module.get_submodule(owner), name, blocks)
    return tuple(kept)


def _renumbered(named: Mapping[str, Any], path: str, chosen: Sequence[int]) -> dict[str, Any]:
    """What is called by places in the network, with the chosen layers alone and in their new places."""
    found = {key: value for key, value in named.items() if not key.startswith(f"{path}.")}
    for place, source in enumerate(chosen):
        start = f"{path}.{source}."
        found |= {
            f"{path}.{place}.{key.removeprefix(start)}": value for key, value in named.items() if key.startswith(start)
        }
    return found
