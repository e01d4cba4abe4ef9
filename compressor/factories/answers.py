"""One tensor out of whatever a network's forward gives, by a rule that travels with the network."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from compressor.copies import copy_of
from compressor.errors import ModelFileError
from compressor.models import OutputRule

# Below this a probability is taken for it: the logarithm stays finite, in half precision as well.
SMALLEST = 1e-6
SOFTMAX = (functional.softmax, torch.softmax, Tensor.softmax, torch.special.softmax)
SIGMOID = (functional.sigmoid, torch.sigmoid, Tensor.sigmoid, torch.special.expit)
SQUEEZE = (torch.squeeze, Tensor.squeeze)
# A class of ours keeps under this name the class that it was made of.
_PLAIN = "_class_of_the_user"


class Dropped(nn.Module):
    """In the place of a head that only training needs: gives back what it is given."""

    def forward(self, given: Tensor, *_: Any, **__: Any) -> Tensor:
        """The first argument."""
        return given


class _Wrapped(nn.Module):
    """Around a network whose class can't be extended: a script, or a graph whose code is its instance's own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        own = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        try:
            self.signature = inspect.Signature([*own, *inspect.signature(network.forward).parameters.values()])
        except (TypeError, ValueError):
            self.signature = inspect.signature(type(self).forward)

    def forward(self, *given: Any, **named: Any) -> Any:
        """What the network gives."""
        return self.network(*given, **named)


def answering(module: nn.Module, rule: OutputRule | None) -> nn.Module:
    """Make a network's forward give the one tensor that a rule takes from it.

    Submodules, their names and the state dict stay as they are, but for heads that are dropped: the network
    becomes an instance of a subclass of its own class. Only scripts and graphs are wrapped in another module.

    Args:
        module: Changed in place; one that answers by a rule already answers by this one afterwards.
        rule: None, or one that changes nothing, leaves the module alone.

    Returns:
        The module, or what wraps it.

    Raises:
        ModelFileError: The module has no head of a name that the rule drops.
    """
    if rule is None or not rule.changes:
        return module
    modules = dict(module.named_modules())
    for path in rule.dropped:
        owner, _, name = path.rpartition(".")
        if path not in modules:
            raise ModelFileError(
                f"{type(module).__name__} has no '{path}', which its file says is left out",
                "give the factory and arguments that built the saved network (--factory, --factory-arg)",
            )
        setattr(modules[owner], name, Dropped())
    kind: type[nn.Module] = getattr(type(module), _PLAIN, type(module))
    if isinstance(module, (torch.jit.ScriptModule, fx.GraphModule)) or "forward" in vars(module):
        module = _Wrapped(module)
        kind = _Wrapped
    module.__class__ = _subclass(kind, rule, getattr(module, "signature", None) if kind is _Wrapped else None)
    return module


def copied_answering(module: nn.Module, rule: OutputRule) -> nn.Module:
    """A copy of a network that answers by a rule."""
    return answering(copy_of(module), rule)


def _subclass(kind: type[nn.Module], rule: OutputRule, signature: inspect.Signature | None) -> type[nn.Module]:
    plain: Callable[..., Any] = kind.forward

    @functools.wraps(plain)
    def forward(self: nn.Module, *given: Any, **named: Any) -> Any:
        path = rule.training if self.training else rule.eval
        if not rule.watches:
            return taken(plain(self, *given, **named), path)
        with _Watch(_rows(given, named), rule.keeps_batch) as watch:
            output = taken(plain(self, *given, **named), path)
        return watch.before(output, rule.ends)

    if signature is not None:
        forward.__signature__ = signature  # type: ignore[attr-defined]
    body = {"forward": forward, "__module__": kind.__module__, "__doc__": kind.__doc__, _PLAIN: kind}
    return type(kind.__name__, (kind,), body)


def taken(output: Any, path: str) -> Any:
    """The part of an output at a path of keys, names and places: ``"logits"``, ``"0"``, ``"1.logits"``.

    Raises:
        LookupError: There is no such part.
    """
    for part in path.split(".") if path else ():
        if isinstance(output, Mapping) and part in output:
            output = output[part]
        elif isinstance(output, (Mapping, list, tuple)) and part.isdecimal():
            output = output[int(part)]
        elif hasattr(output, part):
            output = getattr(output, part)
        else:
            raise LookupError(part)
    return output


def logits_of(probabilities: Tensor, ends: Literal["softmax", "sigmoid"]) -> Tensor:
    """What the softmax or sigmoid of would give these probabilities, as far as float32 can say."""
    if ends == "softmax":
        return probabilities.clamp(min=SMALLEST).log()
    return probabilities.logit(eps=SMALLEST)


class _Watch(TorchFunctionMode):
    """While a forward runs: remembers what went into the last softmax and sigmoid, and keeps the batch axis.

    Attention has softmaxes too: the network's end is the one whose result is the answer itself.
    """

    def __init__(self, rows: Any, keeps_batch: bool) -> None:
        super().__init__()
        self._rows = rows
        self._keeps_batch = keeps_batch
        self._last: tuple[Tensor, Tensor] | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._keeps_batch and func in SQUEEZE:
            return self._squeezed(*args, **kwargs)
        result = func(*args, **kwargs)
        if func in SOFTMAX or func in SIGMOID:
            self._last = result, args[0] if args else kwargs["input"]
        return result

    def before(self, output: Tensor, ends: str) -> Tensor:
        """What the end was computed from."""
        if ends not in ("softmax", "sigmoid"):
            return output
        if self._last is not None and output is self._last[0]:
            return self._last[1]
        return logits_of(output, "softmax" if ends == "softmax" else "sigmoid")

    def _squeezed(self, input: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
        axes = range(input.dim()) if dim is None else (dim,) if isinstance(dim, int) else dim
        chosen = [axis % input.dim() for axis in axes] if input.dim() else []
        # What isn't one row a sample, as a weight, is squeezed as it was meant.
        if input.dim() and input.shape[0] == self._rows:
            chosen = [axis for axis in chosen if axis != 0]
        ones = tuple(axis for axis in chosen if input.shape[axis] == 1)
        return torch.squeeze(input, ones) if ones else input


def _rows(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return next(value.shape[0] for value in (*given, *named.values()) if isinstance(value, Tensor) and value.dim())
