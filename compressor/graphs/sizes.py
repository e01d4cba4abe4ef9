"""Sizes that a network's code makes plain numbers of, as ``len(x)`` does, left open while it is traced."""

import builtins
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")
FIXED = "Constraints violated"


def with_open_sizes(module: nn.Module, trace: Callable[[], T]) -> T:
    """What a tracing gives; where the network's code fixes a size that is to stay open, another one gives.

    Python insists that ``len()`` and ``int()`` give plain numbers, for which torch.export takes the example's size
    for the only one. In the second tracing the modules that the network's layers are written in see others of these
    names, which hand such a size on as it is.

    Args:
        module: What is traced.
        trace: Traces it; called once or twice.

    Raises:
        Exception: The first tracing's, where the second fails too.
    """
    try:
        return trace()
    except Exception as error:
        if FIXED not in f"{error} {error.__cause__}":
            raise
        try:
            with _other_names(module):
                return trace()
        except Exception:  # what is wrong with the network as it is written is told
            raise error from error.__cause__


@contextmanager
def _other_names(module: nn.Module) -> Iterator[None]:
    places = [space for space in _spaces(module) if not {"len", "int"} & space.keys()]
    for space in places:
        space |= {"len": _length, "int": _Whole}
    try:
        yield
    finally:
        for space in places:
            del space["len"], space["int"]


def _spaces(module: nn.Module) -> list[dict[str, Any]]:
    """The global names of every file that a layer's forward is written in, but for torch's own."""
    found: dict[int, dict[str, Any]] = {}
    for layer in module.modules():
        forward = inspect.unwrap(type(layer).forward)
        if isinstance(forward, FunctionType) and not forward.__module__.startswith("torch."):
            found[id(forward.__globals__)] = forward.__globals__
    return list(found.values())


def _length(given: Any) -> Any:
    return given.shape[0] if isinstance(given, Tensor) and given.dim() else len(given)


class _LikeInt(type):
    """Code asks ``isinstance(x, int)`` too."""

    def __instancecheck__(cls, given: object) -> bool:
        return isinstance(given, builtins.int)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, builtins.int)


class _Whole(metaclass=_LikeInt):
    def __new__(cls, *given: Any, **named: Any) -> Any:
        return given[0] if given and isinstance(given[0], torch.SymInt) else builtins.int(*given, **named)
