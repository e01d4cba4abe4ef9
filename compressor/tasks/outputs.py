"""What a network's forward gives: which part of it the answers are, what they end in, and a rule in words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from compressor.models import OutputRule

# What the answers are called, where an output has names.
NAMES = ("logits", "out", "output", "outputs", "pred", "preds", "predictions", "scores", "y")
SUM_TO_ONE = 1e-4
SHOWN = 6


def tensors_in(output: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in an output with its path, as ``taken`` reads it: through dicts, tuples, lists and records."""
    for name, value in _parts(output):
        path = f"{prefix}{name}"
        if isinstance(value, Tensor):
            yield path, value
        else:
            yield from tensors_in(value, f"{path}.")


def _parts(output: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(output, Mapping):
        yield from ((str(key), value) for key, value in output.items())
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        yield from zip(output._fields, output, strict=True)
    elif isinstance(output, (list, tuple)):
        yield from ((str(place), value) for place, value in enumerate(output))
    elif is_dataclass(output):
        yield from ((field.name, getattr(output, field.name)) for field in fields(output))
    elif hasattr(output, "__dict__"):
        yield from ((name, value) for name, value in vars(output).items() if isinstance(value, Tensor))


def choose(output: Any, fits: Callable[[Tensor], bool], columns: int) -> str | None:
    """The path of the answers, or None where that is a matter of taste.

    Tensors of as many columns as the data has classes come before others; among them one that is called so, else the
    first: of several heads of one shape the first is the network's own in torchvision, timm and transformers.

    Args:
        output: Not a tensor itself.
        fits: Whether a tensor may be the answers at all.
        columns: Of the data's classes; 0 where there are none.
    """
    found = [(path, tensor) for path, tensor in tensors_in(output) if fits(tensor)]
    exact = [path for path, tensor in found if tensor.shape[-1] == columns]
    paths = exact or [path for path, _ in found]
    named = [path for name in NAMES for path in paths if path.rpartition(".")[2] == name]
    if named:
        return named[0]
    return paths[0] if exact or len(paths) == 1 else None


def listed(output: Any) -> str:
    """An output in words: ``a dict of features (4, 512), logits (4, 10)``."""
    parts = [f"{path} {kind_of(tensor)}" for path, tensor in tensors_in(output)]
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    kind = type(output).__name__
    return f"a {kind} of {', '.join(parts[:SHOWN])}{more}" if parts else f"a {kind} without tensors"


def kind_of(tensor: Tensor) -> str:
    """Shape, and the type where it isn't the usual one: ``(4, 10) of int64``."""
    kind = "" if tensor.dtype == torch.float32 else f" of {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"


def end_of(answers: Tensor) -> Literal["", "softmax", "log_softmax"]:
    """What rows of answers, (..., classes), were made by: they are probabilities, or logarithms of such."""
    if answers.shape[-1] < 2:
        return ""
    answers = answers.detach().double()
    if bool((answers >= 0).all()) and _sums_to_one(answers):
        return "softmax"
    return "log_softmax" if bool((answers <= 0).all()) and _sums_to_one(answers.exp()) else ""


def _sums_to_one(values: Tensor) -> bool:
    return bool((values.sum(dim=-1) - 1).abs().max() < SUM_TO_ONE)


def idle_heads(module: nn.Module, called: set[nn.Module]) -> tuple[str, ...]:
    """The largest submodules that were called and of whose weights none got a gradient."""
    return _largest(
        module,
        lambda child: bool(called & set(child.modules())) and all(one.grad is None for one in child.parameters()),
    )


def uncalled(module: nn.Module, call: Callable[[], object]) -> tuple[str, ...]:
    """The largest submodules with weights of which a call of the network calls no part."""
    called: set[nn.Module] = set()
    hooks = [child.register_forward_pre_hook(lambda own, _: called.add(own)) for child in module.modules()]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return _largest(module, lambda child: not called & set(child.modules()))


def _largest(module: nn.Module, fits: Callable[[nn.Module], bool]) -> tuple[str, ...]:
    found: list[str] = []
    for path, child in module.named_modules():
        inside = any(path.startswith(f"{above}.") for above in found)
        if path and not inside and next(child.parameters(), None) is not None and fits(child):
            found.append(path)
    return tuple(found)


def described(rule: OutputRule | None) -> list[str]:
    """A rule in sentences, for plan and report."""
    if rule is None:
        return []
    said = []
    places = [("", rule.eval)] if rule.eval == rule.training else [(" in eval mode", rule.eval)]
    if rule.eval != rule.training:
        places.append((" in training mode", rule.training))
    said += [
        f"forward gives more than one tensor{when}: its '{path}' is taken for the logits (--output KEY for another)"
        for when, path in places
        if path
    ]
    if rule.dropped:
        said.append(f"no answer depends on {', '.join(rule.dropped)}: left out, in training and in every file")
    if rule.keeps_batch:
        said.append("squeeze() in forward takes a single sample's batch axis away: here it leaves it")
    if rule.ends in ("softmax", "sigmoid"):
        said.append(
            f"the network ends in {rule.ends}: what goes into it is taken for the logits, and is what every exported "
            f"file gives; its {rule.ends} is what the network gave"
        )
    if rule.ends == "log_softmax":
        said.append("the network ends in log_softmax, which are logits as well: left as it is")
    return said
