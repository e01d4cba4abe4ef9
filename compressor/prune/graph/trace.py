"""One call of a network, operator by operator, with the labels of every tensor's channels."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from compressor.prune.graph.labels import Axes, Axis, Labels

DEPTH = 60
OUTPUTS = "makes the network's outputs"


@dataclass(frozen=True)
class Place:
    """Where an operator was called: the network's submodules under way, innermost first, and the user's line."""

    modules: tuple[str, ...] = ()
    line: str = ""

    @property
    def said(self) -> str:
        """For a sentence."""
        path = next((path for path in self.modules if path), "")
        return " at ".join(part for part in (path, self.line) if part) or "the network itself"


@dataclass
class Step:
    """An operator's call: its name, its inputs' and outputs' axes, and the sizes that it made."""

    name: str
    inputs: list[Axes]
    outputs: list[Axes]
    shapes: list[tuple[int, ...]]
    place: Place
    bounds: tuple[int, int, int, int] | None = None


@dataclass
class Trace:
    """What one call showed.

    Args:
        labels: Of all channels.
        tensors: Axes of every parameter and buffer that took part, by its first name.
        steps: All operators in order.
        made: Axes of weights whose channels are a layer's outputs: where pruning starts.
        blurred: Axes over which something is averaged or normalised: fewer channels give other numbers there.
        gains: Names of weight norm's magnitudes and directions, and the axis of the first.
    """

    labels: Labels = field(default_factory=Labels)
    tensors: dict[str, Axes] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    made: list[Axis] = field(default_factory=list)
    blurred: list[Axis] = field(default_factory=list)
    gains: list[tuple[str, str, int]] = field(default_factory=list)


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers, each once, by its first name."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in an operator's arguments or a network's outputs, whatever holds them."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [found for item in value.values() for found in tensors_in(item)]
    if isinstance(value, list | tuple | set):
        return [found for item in value for found in tensors_in(item)]
    if hasattr(value, "__dataclass_fields__"):
        return [found for item in vars(value).values() for found in tensors_in(item)]
    return []


def operator_name(func: Any) -> str:
    """``convolution`` for ``aten.convolution.default``."""
    return str(func._schema.name).removeprefix("aten::")  # noqa: SLF001 - the schema has no public name


class Watching(TorchDispatchMode):
    """Hands every operator that runs to ``seen``, with where it was called."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._paths = {id(child): path for path, child in module.named_modules()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, then look at it."""
        kwargs = kwargs or {}
        self.before(func, args, kwargs)
        out = func(*args, **kwargs)
        self.seen(func, args, kwargs, out)
        return out

    def before(self, func: Any, args: Any, kwargs: Any) -> None:
        """Called before an operator runs."""

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Called after each operator."""
        raise NotImplementedError

    def place(self) -> Place:
        """Where the operator under way was called."""
        modules: list[str] = []
        line = ""
        frame = sys._getframe(3)  # noqa: SLF001 - the frames of a call under way have no other name
        for _ in range(DEPTH):
            if frame is None:
                break
            code = frame.f_code
            owner = frame.f_locals.get("self") if code.co_varnames[:1] == ("self",) else None
            path = self._paths.get(id(owner)) if isinstance(owner, nn.Module) else None
            if path is not None and path not in modules:
                modules.append(path)
            if not line and "/torch/" not in code.co_filename and not code.co_filename.startswith("<"):
                line = f"{code.co_filename.rpartition('/')[2]}:{frame.f_lineno}" if path is not None else ""
            if path == "":
                break
            frame = frame.f_back  # type: ignore[assignment]
        return Place(tuple(modules), line)


class Known:
    """The axes of all tensors seen so far in a call."""

    def __init__(self, module: nn.Module, trace: Trace) -> None:
        self.trace = trace
        self._names = {id(tensor): name for name, tensor in named_tensors(module).items()}
        self._axes: Any = WeakIdKeyDictionary()
        self._derived: Any = WeakIdKeyDictionary()

    def axes(self, tensor: Tensor) -> Axes:
        """A tensor's axes: fresh labels for a parameter, none for what comes from elsewhere."""
        if tensor not in self._axes:
            name = self._names.get(id(tensor))
            if name is None:
                self._axes[tensor] = (None,) * tensor.dim()
            else:
                labels = self.trace.labels
                own = tuple(labels.fresh(size) if size > 1 else None for size in tensor.shape)
                self._axes[tensor] = self.trace.tensors[name] = own
        found: Axes = self._axes[tensor]
        return found

    def name(self, tensor: Tensor) -> str | None:
        """A parameter's name."""
        return self._names.get(id(tensor))

    def derived(self, tensor: Tensor) -> bool:
        """Whether a tensor is a parameter or computed from parameters alone."""
        return id(tensor) in self._names or bool(self._derived.get(tensor, False))

    def learn(self, tensor: Tensor, axes: Axes, derived: bool) -> None:
        """An operator's output."""
        self._axes[tensor] = axes
        self._derived[tensor] = derived


@contextlib.contextmanager
def plainly(module: nn.Module) -> Iterator[None]:
    """In eval mode, without gradients and without torch's fused attention; as it was afterwards.

    Networks that keep something between calls, as LeViT its attention's biases, forget it when the mode is set.
    """
    modes = {child: child.training for child in module.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        module.eval()
        for child, mode in modes.items():
            child.training = mode
