"""Channels physically removed, with torch-pruning's dependency graph; the only file that imports it."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from compressor.errors import PlanError
from compressor.prune.importance import Importance
from compressor.prune.outcome import PruneReport

HIGHEST_PER_LAYER = 0.9
PRUNED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def prune_channels(
    module: nn.Module,
    example_inputs: tuple[Tensor, ...],
    ratio: float,
    *,
    importance: Importance = "magnitude",
    scope: str = "local",
    round_to: int = 8,
    ignored: Sequence[str] = (),
    seed: int = 0,
) -> PruneReport:
    """Remove a share of every layer's channels, in place (DepGraph, https://arxiv.org/abs/2301.12900).

    Channels that are coupled by residual adds, concatenations or grouped convolutions go together.
    The layers that make the network's outputs keep all of theirs.

    Args:
        module: Pruned in place; gradients are needed first for ``importance="taylor"``.
        example_inputs: One call's inputs, on the module's device.
        ratio: Removed of each layer's channels, 0 < ratio < 1.
        importance: How channels are ranked.
        scope: ``local`` removes the ratio from every layer, ``global`` over all layers together.
        round_to: Channel counts are multiples of this, where a layer has so many.
        ignored: Names of further layers to leave alone.
        seed: Of the random ranking.

    Raises:
        PlanError: The network's graph can't be traced.
    """
    before = _channels(module)
    with followed(module, "name the layers in prune.skip"):
        kept = dict.fromkeys(output_layers(module, example_inputs), "makes the network's outputs")
        kept.update(dict.fromkeys(ignored, "set in skip"))
        pruner = torch_pruning.pruner.BasePruner(
            module,
            example_inputs=example_inputs,
            importance=_ranking(importance, seed),
            pruning_ratio=ratio,
            pruning_ratio_dict=_rounded_ratios(module, ratio, round_to) if scope == "local" else None,
            max_pruning_ratio=1.0 if scope == "local" else HIGHEST_PER_LAYER,
            global_pruning=scope == "global",
            round_to=round_to if scope == "global" and round_to > 1 else None,
            ignored_layers=[module.get_submodule(name) for name in kept],
        )
        pruner.step()
    for parameter in module.parameters():
        parameter.grad = None
    after = _channels(module)
    for name, count in before.items():
        if after[name] == count and name not in kept:
            kept[name] = (
                f"has {count} channels: rounding to {round_to} leaves them all, or a coupled layer can't shrink"
            )
    return PruneReport(before, after, kept)


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
        module: In eval mode, all its parameters with gradients: inside of ``followed``.
        example_inputs: One call's inputs, on the module's device.
    """

    def __init__(self, module: nn.Module, example_inputs: tuple[Tensor, ...]) -> None:
        self._module = module
        with warnings.catch_warnings():
            # Tokens and positions that are no layers': their last axis is the right one.
            warnings.simplefilter("ignore", UserWarning)
            self._graph = torch_pruning.DependencyGraph().build_dependency(
                module, example_inputs, unwrapped_parameters=_uncalled_tables(module, example_inputs)
            )

    def read_by(self, layer: str) -> Coupled:
        """The channels that a linear layer reads."""
        return self._coupled(layer, torch_pruning.prune_linear_in_channels, 1)

    def made_by(self, layer: str) -> Coupled:
        """The channels that a linear layer makes."""
        return self._coupled(layer, torch_pruning.prune_linear_out_channels, 0)

    def _coupled(self, layer: str, function: Any, axis: int) -> Coupled:
        linear = self._module.get_submodule(layer)
        assert isinstance(linear, nn.Linear)
        size = int(linear.weight.shape[axis])
        group = self._graph.get_pruning_group(linear, function, list(range(size)))
        layers = {id(child): path for path, child in self._module.named_modules()}
        names = {id(parameter): name for name, parameter in self._module.named_parameters()}
        readers: list[str] = []
        writers: list[str] = []
        tensors: dict[str, int] = {}
        ordered = True
        for dependency, places in group.items:
            target = dependency.target.module
            if id(target) in names:
                tensors[names[id(target)]] = int(dependency.target.pruning_dim)
            elif id(target) in layers:
                path, reads = layers[id(target)], dependency.handler.__name__ == "prune_in_channels"
                if isinstance(target, PRUNED):
                    (readers if reads else writers).append(path)
                tensors |= {f"{path}.{name}": at for name, at in _axes(target, reads).items()}
            else:
                continue
            ordered = ordered and list(places) == list(range(size))
        alone = all(self._module.get_parameter(name).shape[axis] == size for name, axis in tensors.items())
        return Coupled(size, tuple(readers), tuple(writers), tensors, ordered and alone)


def _uncalled_tables(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> list[tuple[Tensor, int]]:
    """Embeddings whose table is read whole, as DeBERTa's of relative positions: no call shows whose it is."""
    tables = {child for child in module.modules() if isinstance(child, nn.Embedding)}
    called: set[nn.Module] = set()
    hooks = [table.register_forward_hook(lambda table, *_: called.add(table)) for table in tables]
    with torch.no_grad():
        module(*example_inputs)
    for hook in hooks:
        hook.remove()
    return [(table.weight, 1) for table in tables - called]


def _axes(layer: nn.Module, reads: bool) -> dict[str, int]:
    """Which axis of a layer's own parameters its inputs, or its outputs, lie on."""
    if isinstance(layer, PRUNED) and reads:
        return {"weight": 1}
    first = 1 if isinstance(layer, nn.Embedding) else 0
    return {name: first for name, _ in layer.named_parameters(recurse=False)}


@contextlib.contextmanager
def followed(module: nn.Module, otherwise: str) -> Iterator[None]:
    """In eval mode, all parameters with gradients, so that every call can be followed; as it was afterwards."""
    modes = {child: child.training for child in module.modules()}
    trainable = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    module.eval()
    module.requires_grad_(True)
    try:
        yield
    except PlanError:
        raise
    except Exception as error:
        raise PlanError(
            f"{type(module).__name__} can't be pruned: its graph can't be followed ({type(error).__name__}: {error})",
            f"leave out the prune stage, or {otherwise}",
        ) from error
    finally:
        for child, mode in modes.items():
            child.training = mode
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(trainable[name])


def _rounded_ratios(module: nn.Module, ratio: float, round_to: int) -> dict[nn.Module, float]:
    """Each layer's own ratio, so that the nearest multiple of ``round_to`` stays, and never fewer than one.

    torch-pruning itself rounds down, and leaves a layer whole that would round down to nothing.
    """
    ratios: dict[nn.Module, float] = {}
    for child in module.modules():
        if isinstance(child, PRUNED):
            count = int(child.weight.shape[0])
            stays = max(1, round(count * (1 - ratio) / round_to)) * round_to
            # Half a channel more: the library truncates the product.
            ratios[child] = max(0.0, 1 - (stays + 0.5) / count) if stays < count else 0.0
    return ratios


def output_layers(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> list[str]:
    """The convolutions and linear layers whose output channels are the network's own outputs.

    Followed back from the output through the autograd graph to the first weights met.
    """
    with torch.enable_grad():
        outputs: Any = module(*example_inputs)
    tensors = outputs if isinstance(outputs, list | tuple) else [outputs]
    owners = {id(child.weight): name for name, child in module.named_modules() if isinstance(child, PRUNED)}
    found: list[str] = []
    for tensor in tensors:
        queue, seen = [tensor.grad_fn], set()
        while queue:
            node = queue.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            weights = _weights_of(node, owners)
            if weights:
                found += [name for name in weights if name not in found]
                continue
            queue += [parent for parent, _ in node.next_functions]
    return found


def _weights_of(node: Any, owners: dict[int, str]) -> list[str]:
    """The layers whose weight this autograd node reads, itself or through a transpose."""
    names = []
    for parent, _ in node.next_functions:
        holders = [parent]
        if parent is not None and type(parent).__name__ in ("TBackward0", "TransposeBackward0"):
            holders = [grand for grand, _ in parent.next_functions]
        for holder in holders:
            variable = getattr(holder, "variable", None)
            if variable is not None and id(variable) in owners:
                names.append(owners[id(variable)])
    return names


def _channels(module: nn.Module) -> dict[str, int]:
    return {name: int(child.weight.shape[0]) for name, child in module.named_modules() if isinstance(child, PRUNED)}


class _SeededRandom(torch_pruning.importance.Importance):  # type: ignore[misc]
    """The control: a ranking that knows nothing, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, group: Any, **_: Any) -> torch.Tensor:
        _, indices = group[0]
        return torch.rand(len(indices), generator=self._generator)


def _ranking(name: Importance, seed: int) -> Any:
    """The ranking of that name, over whole groups of coupled channels.

    - ``magnitude``: L2 norm of a channel's weights in all coupled layers (https://arxiv.org/abs/1608.08710);
    - ``taylor``: ``|weight * gradient|``, the first-order change of the loss (https://arxiv.org/abs/1906.10771);
    - ``bn-scale``: BatchNorm's gamma (https://arxiv.org/abs/1708.06519);
    - ``random``: the control.
    """
    if name == "taylor":
        return torch_pruning.importance.GroupTaylorImportance()
    if name == "bn-scale":
        return torch_pruning.importance.BNScaleImportance()
    if name == "random":
        return _SeededRandom(seed)
    return torch_pruning.importance.GroupMagnitudeImportance(p=2)
