"""Copies of networks, whatever they keep of earlier calls."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def copy_of(module: Module) -> Module:
    """A deep copy that shares nothing with the network, and has forgotten what that kept while it was evaluated.

    Some networks (LeViT, EfficientFormer) compute a tensor once per evaluation and keep it until they train: it may
    hang on a graph of gradients, which torch doesn't copy, and would be stale as soon as the copy is pruned or trained.

    Args:
        module: Left untouched.

    Returns:
        The copy, each part in the mode that the original's is in.
    """
    memo: dict[int, Any] = {id(t): t.detach().clone() for child in module.modules() for t in _computed(vars(child))}
    # TorchScript's own copies would hang on the originals.
    with torch.no_grad():
        made = copy.deepcopy(module, memo)
    modes = [(child, child.training) for child in made.modules()]
    for child, training in modes:
        if type(child).train is not nn.Module.train:
            # Once each way: some have in either mode what the other takes away.
            child.train(not training)
            child.train(training)
    for child, training in modes:
        child.training = training
    return made


def frozen_copy(module: Module) -> Module:
    """A copy that is evaluated alone: no parameter wants a gradient, also of TorchScript and of a captured program.

    Args:
        module: Left untouched.
    """
    made = copy_of(module)
    # The module of an exported program has no modes and refuses to change them.
    with contextlib.suppress(NotImplementedError):
        made.eval()
    for parameter in made.parameters():
        parameter.requires_grad_(False)
    return made


def _computed(value: Any) -> Iterator[Tensor]:
    """Tensors with a history, in an attribute or in a list or dict of one."""
    if isinstance(value, Tensor):
        if not value.is_leaf:
            yield value
    elif type(value) is dict:
        for item in value.values():
            yield from _computed(item)
    elif type(value) in (list, tuple):
        for item in value:
            yield from _computed(item)
