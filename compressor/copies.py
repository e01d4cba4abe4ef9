"""Copies of networks, whatever they keep of earlier calls."""

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

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
