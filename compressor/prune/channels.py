"""Channels physically removed from any network, by what one call shows of them."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from compressor.errors import PlanError
from compressor.prune.graph.cut import CONVOLUTIONS, PARAMETRIZED, stays
from compressor.prune.graph.follow import Followed, cut_to
from compressor.prune.graph.groups import Mask, Ranking, groups_of
from compressor.prune.graph.labels import Axis, Ids
from compressor.prune.graph.trace import OUTPUTS, Trace
from compressor.prune.graph.tracing import traced
from compressor.prune.importance import Importance
from compressor.prune.outcome import PruneReport

LAYERS = (*CONVOLUTIONS, nn.Linear)


def prune_channels(
    module: nn.Module,
    example_inputs: tuple[Tensor, ...],
    ratio: float,
    *,
    importance: Importance | Mapping[str, Tensor] = "magnitude",
    scope: str = "local",
    round_to: int = 8,
    ignored: Sequence[str] = (),
    seed: int = 0,
) -> PruneReport:
    """Remove a share of every layer's channels, in place (the idea: DepGraph, https://arxiv.org/abs/2301.12900).

    Channels that are coupled by residual adds, concatenations, splits or grouped convolutions go together. The layers
    that make the network's outputs keep all of theirs, and so does whatever the network's own code can't do with
    fewer: each such layer is in the report with its reason.

    Args:
        module: Pruned in place; ``measure_gradients`` comes first for a ranking by a loss.
        example_inputs: One call's inputs, on the module's device.
        ratio: Removed of each layer's channels, 0 < ratio < 1.
        importance: How channels are ranked, or what ``worth_to_readers`` found.
        scope: ``local`` removes the ratio from every layer, ``global`` over all layers together.
        round_to: Channel counts are multiples of this, where a layer has so many.
        ignored: Names of further layers to leave alone.
        seed: Of the random ranking.

    Raises:
        PlanError: The network can't be called with these inputs.
    """
    for parameter in (one for one in module.parameters() if one.dim() > 3):
        # In another memory layout torch computes with other operators, and a cut would undo it. Of one channel
        # both layouts are contiguous, and the strides tell them apart all the same.
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    with followed(module, "name the layers in prune.skip"):
        trace = traced(module, example_inputs)
        for name in ignored:
            for path, tensor_axes in trace.tensors.items():
                if path == name or path.startswith(f"{name}."):
                    trace.labels.fix(_rows(module, path, tensor_axes), "set in skip")
        before = _channels(module, trace, np.zeros(len(trace.labels.parents), bool))
        found = Followed(trace)
        ranking = Ranking(module, trace, importance, seed)
        gone = cut_to(module, example_inputs, found, ranking, ratio=ratio, scope=scope, round_to=round_to)
    for parameter in module.parameters():
        parameter.grad = None
    gone = gone[trace.labels.roots(np.arange(len(gone)))]
    lost = ranking.lost(groups_of(trace), gone)
    after = _channels(module, trace, gone)
    kept = _kept(module, trace, gone, before, after, round_to)
    return PruneReport(before, after, kept, _staying(module, trace, gone), lost)


def _rows(module: nn.Module, name: str, axes: tuple[Axis, ...]) -> Axis:
    """The axis of a tensor that its layer's outputs lie on."""
    owner = module.get_submodule(name.rpartition(".")[0].partition(PARAMETRIZED)[0])
    at = 1 if len(axes) > 1 and getattr(owner, "transposed", False) else 0
    return axes[at] if axes else None


def layer_of(name: str) -> str:
    """How a weight's layer is called: its module, or for a bare parameter that one's own name."""
    path = name.partition(PARAMETRIZED)[0]
    if path != name:
        return path
    owner, _, attribute = name.rpartition(".")
    return owner if attribute in ("weight", "weight_v") else name


def _written(module: nn.Module, trace: Trace) -> dict[str, Ids]:
    """The channels that every layer makes, by its name: weights that are multiplied with, and torch's own layers'."""
    made = {id(axis) for axis in trace.made}
    found: dict[str, Ids] = {}
    for name, axes in trace.tensors.items():
        owner = module.get_submodule(name.rpartition(".")[0].partition(PARAMETRIZED)[0])
        own = isinstance(owner, LAYERS) and len(axes) > 1
        rows = _rows(module, name, axes) if own else next((axis for axis in axes if id(axis) in made), None)
        if isinstance(rows, np.ndarray) and len(axes) > 1:
            found.setdefault(layer_of(name), rows)
    return found


def _channels(module: nn.Module, trace: Trace, gone: Mask) -> dict[str, int]:
    return {name: int(stays(trace, axis, gone).sum()) for name, axis in _written(module, trace).items()}


def _staying(module: nn.Module, trace: Trace, gone: Mask) -> dict[str, Tensor]:
    """Of every weight that lost outputs, which of them it still has."""
    found: dict[str, Tensor] = {}
    for name, axes in trace.tensors.items():
        rows = _rows(module, name, axes)
        if len(axes) > 1 and isinstance(rows, np.ndarray):
            mask = stays(trace, rows, gone)
            if not mask.all():
                found[name] = torch.from_numpy(np.flatnonzero(mask))
    return found


def _kept(
    module: nn.Module, trace: Trace, gone: Mask, before: dict[str, int], after: dict[str, int], round_to: int
) -> dict[str, str]:
    """The layers that were left alone, with the reason that most of their channels have."""
    reasons = trace.labels.reasons()
    kept: dict[str, str] = {}
    for name, axis in _written(module, trace).items():
        if after[name] == before[name]:
            said = Counter(reasons[root] for root in trace.labels.roots(axis).tolist() if root in reasons)
            rounded = f"has {before[name]} channels: rounding to {round_to} leaves them all"
            kept[name] = said.most_common(1)[0][0] if said else rounded
    return kept


@dataclass(frozen=True)
class Coupled:
    """Channels that only leave a network together, wherever they lie.

    Args:
        size: How many.
        readers: Paths of the layers that read them.
        writers: Paths of the layers that make them.
        tensors: Names of all parameters that hold something of each channel, with the axis.
        whole: Whether they lie everywhere in one order, and nothing else beside them.
    """

    size: int
    readers: tuple[str, ...]
    writers: tuple[str, ...]
    tensors: dict[str, int]
    whole: bool


class Couplings:
    """A network's channels and what they are coupled to, followed through one call.

    Args:
        module: The network.
        example_inputs: One call's inputs, on the module's device.
    """

    def __init__(self, module: nn.Module, example_inputs: tuple[Tensor, ...]) -> None:
        self._module = module
        self._trace = traced(module, example_inputs)

    def read_by(self, layer: str) -> Coupled:
        """The channels that a linear layer reads."""
        return self._coupled(layer, 1)

    def made_by(self, layer: str) -> Coupled:
        """The channels that a linear layer makes."""
        return self._coupled(layer, 0)

    def _coupled(self, layer: str, at: int) -> Coupled:
        trace = self._trace
        own = trace.tensors[f"{layer}.weight"][at]
        assert isinstance(own, np.ndarray)
        wanted = trace.labels.roots(own)
        layers = dict(self._module.named_modules())
        readers: list[str] = []
        writers: list[str] = []
        tensors: dict[str, int] = {}
        whole = len(np.unique(wanted)) == len(wanted)
        names = dict(self._module.named_parameters())
        for name, axes in trace.tensors.items():
            for place, axis in enumerate(axes):
                if not isinstance(axis, np.ndarray) or not np.isin(trace.labels.roots(axis), wanted).any():
                    continue
                whole = whole and np.array_equal(trace.labels.roots(axis), wanted)
                path, _, attribute = name.rpartition(".")
                if name in names:
                    tensors[name] = place
                if isinstance(layers[path], LAYERS) and attribute == "weight":
                    (readers if place == 1 else writers).append(path)
        return Coupled(len(own), tuple(readers), tuple(writers), tensors, bool(whole))


@contextlib.contextmanager
def followed(module: nn.Module, otherwise: str) -> Iterator[None]:
    """Whatever goes wrong in calling the network is said as a refusal."""
    try:
        yield
    except PlanError:
        raise
    except Exception as error:
        raise PlanError(
            f"{type(module).__name__} can't be pruned: its graph can't be followed ({type(error).__name__}: {error})",
            f"--without prune, or {otherwise}",
        ) from error


def coupled_layers(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> list[tuple[str, ...]]:
    """Layers whose channels can go, those together whose channels only leave together, in the network's order.

    Args:
        module: Left untouched.
        example_inputs: One call's inputs, on the module's device.

    Raises:
        PlanError: The network can't be called with these inputs.
    """
    with followed(module, "--without prune"):
        trace = traced(module, example_inputs)
    written = {name: set(trace.labels.roots(axis).tolist()) for name, axis in _written(module, trace).items()}
    found: list[set[str]] = []
    for group in groups_of(trace):
        roots = set(group.roots.tolist())
        names = {name for name, own in written.items() if own & roots}
        # A layer whose channels lie in several groups joins them: it is left alone or cut as a whole.
        joined = [other for other in found if other & names]
        found = [other for other in found if not other & names] + [names.union(*joined)]
    ordered = [tuple(name for name in written if name in names) for names in found if names]
    return sorted(ordered, key=lambda names: list(written).index(names[0]))


def output_layers(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> list[str]:
    """The layers whose output channels are the network's own outputs."""
    trace = traced(module, example_inputs)
    reasons = trace.labels.reasons()
    return [
        name
        for name, axis in _written(module, trace).items()
        if any(reasons.get(root) == OUTPUTS for root in trace.labels.roots(axis).tolist())
    ]
