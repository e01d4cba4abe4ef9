"""Channels taken out of a network's tensors and out of the numbers in its modules, and put back."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from compressor.prune.graph.groups import Mask
from compressor.prune.graph.labels import Axes, Ids
from compressor.prune.graph.trace import Trace, named_tensors

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)  # noqa: SLF001 - have no other name
PARAMETRIZED = ".parametrizations."


@dataclass(frozen=True)
class Binding:
    """A number in a module that says how many channels there are.

    Args:
        path: The module's.
        attribute: Its attribute's name.
        key: Where the number stands in it, if it is a list, tuple or dict.
        axis: The channels it counts.
    """

    path: str
    attribute: str
    key: int | str | None
    axis: Ids


@dataclass
class Undo:
    """What a cut replaced."""

    changes: list[tuple[nn.Module, str, Any]] = field(default_factory=list)

    def set(self, owner: nn.Module, attribute: str, value: Any) -> None:
        """Set an attribute, and remember."""
        self.changes.append((owner, attribute, getattr(owner, attribute)))
        setattr(owner, attribute, value)

    def restore(self) -> None:
        """Put everything back."""
        for owner, attribute, value in reversed(self.changes):
            setattr(owner, attribute, value)
        self.changes.clear()


def every_tensor(module: nn.Module) -> list[tuple[str, Tensor]]:
    """All names of all parameters and buffers; those that are tied have several."""
    return [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]


def stays(trace: Trace, axis: Ids, gone: Mask) -> Mask:
    """Which of an axis' channels stay."""
    return ~gone[trace.labels.roots(axis)]


def cut(module: nn.Module, trace: Trace, gone: Mask, bindings: list[Binding]) -> Undo:
    """Take the channels out, in place.

    Args:
        module: The network that was traced.
        trace: Of it.
        gone: For every label whether its channel goes.
        bindings: Numbers besides those that torch's own layers have.
    """
    undo = Undo()
    current = named_tensors(module)
    replaced: dict[int, Tensor] = {}
    for name, axes in trace.tensors.items():
        narrow = _narrowed(current[name], axes, trace, gone)
        if narrow is not None:
            replaced[id(current[name])] = narrow
    _keep_gains(current, replaced, trace, gone)
    touched: dict[str, nn.Module] = {}
    for name, tensor in every_tensor(module):
        if id(tensor) in replaced:
            owner, _, attribute = name.rpartition(".")
            undo.set(module.get_submodule(owner), attribute, replaced[id(tensor)])
            path = f".{name}".partition(PARAMETRIZED)[0][1:] if PARAMETRIZED in f".{name}" else owner
            touched[path] = module.get_submodule(path)
    for layer in touched.values():
        for attribute, value in _numbers(layer).items():
            if getattr(layer, attribute) != value:
                undo.set(layer, attribute, value)
    for binding in bindings:
        _bind(module, binding, int(stays(trace, binding.axis, gone).sum()), undo)
    return undo


def _narrowed(tensor: Tensor, axes: Axes, trace: Trace, gone: Mask) -> Tensor | None:
    narrow = tensor.detach()
    for at, axis in enumerate(axes):
        if isinstance(axis, np.ndarray):
            kept = stays(trace, axis, gone)
            if not kept.all():
                narrow = narrow.index_select(at, torch.from_numpy(np.flatnonzero(kept)).to(tensor.device))
    if narrow.shape == tensor.shape:
        return None
    return nn.Parameter(narrow.contiguous(), tensor.requires_grad) if isinstance(tensor, nn.Parameter) else narrow


def _keep_gains(current: dict[str, Tensor], replaced: dict[int, Tensor], trace: Trace, gone: Mask) -> None:
    """Weight norm divides by the length of all weights: with fewer of them, the gain takes up the difference."""
    for gain, direction, dim in trace.gains:
        narrow = replaced.get(id(current[direction]))
        if narrow is None:
            continue
        whole = current[direction].detach()
        axis = trace.tensors[direction][dim]
        if isinstance(axis, np.ndarray):
            kept = torch.from_numpy(np.flatnonzero(stays(trace, axis, gone))).to(whole.device)
            whole = whole.index_select(dim, kept)
        was = replaced.get(id(current[gain]), current[gain]).detach()
        over = [at for at in range(whole.dim()) if at != dim]
        factor = vector_norm(narrow.detach(), dim=over, keepdim=True) / vector_norm(
            whole, dim=over, keepdim=True
        ).clamp_min(1e-12)
        replaced[id(current[gain])] = nn.Parameter(was * factor, current[gain].requires_grad)


def _bind(module: nn.Module, binding: Binding, count: int, undo: Undo) -> None:
    owner = module.get_submodule(binding.path)
    value: Any = getattr(owner, binding.attribute)
    if isinstance(value, dict):
        changed: Any = {**value, binding.key: count}
    elif isinstance(value, list | tuple):
        changed = type(value)(count if at == binding.key else item for at, item in enumerate(value))
    else:
        changed = count
    undo.set(owner, binding.attribute, changed)


def _numbers(layer: Any) -> dict[str, Any]:
    """What torch's own layers say of their widths, read off their tensors."""
    if isinstance(layer, CONVOLUTIONS):
        rows, columns = _weight(layer).shape[:2]
        if layer.transposed:
            groups = rows if layer.groups > 1 and layer.out_channels == layer.groups else layer.groups
            return {"in_channels": rows, "out_channels": columns * groups, "groups": groups}
        alone = layer.groups > 1 and layer.in_channels == layer.groups
        groups = rows * layer.groups // layer.out_channels if alone else layer.groups
        return {"out_channels": rows, "in_channels": columns * groups, "groups": groups}
    if isinstance(layer, nn.Linear):
        return dict(zip(("out_features", "in_features"), _weight(layer).shape, strict=True))
    if isinstance(layer, nn.Embedding):
        return {"embedding_dim": layer.weight.shape[1]}
    if isinstance(layer, nn.RNNBase):
        return {"input_size": named_tensors(layer)["weight_ih_l0"].shape[1]}
    if isinstance(layer, NORMS):
        return {"num_features": len(next(x for x in (layer.weight, layer.bias, layer.running_mean) if x is not None))}
    if isinstance(layer, nn.GroupNorm):
        count = len(layer.weight)
        return {
            "num_channels": count,
            "num_groups": count if layer.num_groups == layer.num_channels else layer.num_groups,
        }
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return {"normalized_shape": tuple(layer.weight.shape)}
    if isinstance(layer, nn.PReLU):
        return {"num_parameters": len(layer.weight)}
    return {}


def _weight(layer: Any) -> Tensor:
    """A layer's weight, or the direction that it is computed from."""
    found: Tensor = layer.weight_v if hasattr(layer, "weight_v") else layer.weight
    return found


def blanked(module: nn.Module, trace: Trace, gone: Mask) -> Undo:
    """Set the channels to zero wherever they lie, in place, instead of taking them out.

    What computes nothing over all channels then gives what the cut network gives.
    """
    undo = Undo()
    current = named_tensors(module)
    gains = {direction: (gain, dim) for gain, direction, dim in trace.gains}
    # Directions last: they change gains that have been blanked by then.
    for name, axes in sorted(trace.tensors.items(), key=lambda item: item[0] in gains):
        tensor = current[name]
        blank = tensor.detach().clone()
        for at, axis in enumerate(axes):
            if isinstance(axis, np.ndarray) and not (name in gains and gains[name][1] == at):
                away = torch.from_numpy(np.flatnonzero(~stays(trace, axis, gone))).to(tensor.device)
                if len(away) and blank.is_floating_point() and not name.endswith("running_var"):
                    blank.index_fill_(at, away, 0)
        if name in gains and not torch.equal(blank, tensor):
            gain, dim = gains[name]
            over = [at for at in range(blank.dim()) if at != dim]
            factor = vector_norm(blank, dim=over, keepdim=True) / vector_norm(tensor.detach(), dim=over, keepdim=True)
            owner, _, attribute = gain.rpartition(".")
            scaled = getattr(module.get_submodule(owner), attribute).detach() * factor
            undo.set(module.get_submodule(owner), attribute, nn.Parameter(scaled))
        if not torch.equal(blank, tensor):
            made = nn.Parameter(blank) if isinstance(tensor, nn.Parameter) else blank
            for other, same in every_tensor(module):
                if same is tensor:
                    owner, _, attribute = other.rpartition(".")
                    undo.set(module.get_submodule(owner), attribute, made)
    return undo
