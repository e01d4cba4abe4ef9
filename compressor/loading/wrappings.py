"""The weights in a file as people save them: under other names, averaged beside raw ones, with others' leftovers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from compressor.errors import ModelFileError
from compressor.loading.weights import METADATA, SHOWN, fits, load_tensors, versions_below, with_versions

# Averages first: timm, and who trained with one, scores these.
AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema", "averaged_model", "shadow", "teacher")
RAW = ("state_dict", "model_state_dict", "model", "net", "network", "module", "student")
DEEPEST, LONGEST_NAME = 6, 500
# Buffers that other tools leave in a network, and a count that older releases of torch didn't keep.
COUNTERS = ("total_ops", "total_params", "n_averaged")
OPTIONAL = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors by name at one place of a file.

    Args:
        place: The keys that lead there, ``"model.state_dict"``; empty for the file itself.
        tensors: By name.
        versions: What the state_dict says of the versions of its modules.
        others: Names of what isn't a tensor.
    """

    place: str
    tensors: dict[str, Tensor]
    versions: Mapping[str, Any]
    others: tuple[str, ...]

    @property
    def averaged(self) -> bool:
        """Whether it is an average over the training."""
        return any(part in AVERAGED for part in self.place.split("."))


def find_weights(content: object, where: str) -> list[Weights]:
    """Every place in a loaded file where a network's tensors may be, averages first.

    Raises:
        ModelFileError: There is none, or a tensor isn't plainly stored.
    """
    found = list(_places(content, ""))
    if not found:
        what = f"a {type(content).__name__}"
        if isinstance(content, dict):
            what += f" with {', '.join(repr(key)[:80] for key in list(content)[:SHOWN])}" if content else ", empty"
        raise ModelFileError(
            f"{where} holds {what}: neither a checkpoint of ours nor a state_dict (a dict of tensors)",
            "compressor.save_checkpoint(module, path, factory=...)",
        )
    for weights in found:
        for name, tensor in weights.tensors.items():
            check_stored(name, tensor, where)
    return found


def find_modules(content: object) -> Iterator[tuple[str, nn.Module]]:
    """Whole networks in a loaded file and the keys that lead there, averages first."""
    if isinstance(content, nn.Module):
        yield "", content
    elif isinstance(content, dict):
        for key in (*AVERAGED, *RAW):
            if isinstance(content.get(key), nn.Module):
                yield key, content[key]


def load_weights(module: nn.Module, found: list[Weights], where: str) -> str:
    """Load the first of a file's weights that fit a network.

    Args:
        module: Changed in place.
        found: From ``find_weights``.
        where: What holds them, for messages.

    Returns:
        What was taken and what was left, in one sentence; empty where there is nothing to say.

    Raises:
        ModelFileError: None fit; what is nearest is compared.
    """
    own = module.state_dict()
    tried = [_Fitted(weights, prefix, own) for weights in found for prefix in _prefixes(weights, own)]
    best = max(tried, key=lambda one: (one.complete, one.matching))
    load_tensors(module, best.state, where)
    others = [weights.place for weights in found if not weights.averaged and weights is not best.weights]
    return best.said(others)


def check_stored(name: str, tensor: Tensor, where: str) -> None:
    """Refuse a tensor that isn't plain memory, or that repeats little memory as much.

    Raises:
        ModelFileError: Naming it.
    """
    if len(name) > LONGEST_NAME:
        raise ModelFileError(f"{where}: the name {name[:80]!r}... has {len(name)} letters", "write or fetch it again")
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    stored = tensor.untyped_storage().nbytes() if plain else 0
    if not plain or tensor.numel() * tensor.element_size() > stored:
        what = f"{tensor.numel() * tensor.element_size()} bytes of {stored} stored" if plain else "not plainly stored"
        raise ModelFileError(
            f"{where}: {name[:200]} of shape {list(tensor.shape)} is {what}",
            "save contiguous tensors on the CPU: torch.save({k: v.cpu().contiguous() for ...}, path)",
        )


class _Fitted:
    """Weights as a network would take them, under one prefix."""

    def __init__(self, weights: Weights, prefix: str, own: Mapping[str, Any]) -> None:
        self.weights, self.prefix = weights, prefix
        below = {key.removeprefix(prefix): value for key, value in weights.tensors.items() if key.startswith(prefix)}
        self.outside = [key for key in weights.tensors if not key.startswith(prefix)]
        self.counters = [key for key in below if key not in own and key.rpartition(".")[2] in COUNTERS]
        for key in self.counters:
            del below[key]
        self.filled = [key for key in own if key not in below and key.rpartition(".")[2] == OPTIONAL]
        self.cast = sorted(
            {
                str(value.dtype).removeprefix("torch.")
                for key, value in below.items()
                if key in own and value.is_floating_point() and value.dtype != getattr(own[key], "dtype", value.dtype)
            }
        )
        below.update({key: own[key] for key in self.filled})
        self.state = with_versions(below, versions_below(weights.versions, prefix))
        self.matching = sum(key in own and fits(value, own[key]) for key, value in below.items())
        self.complete = self.matching == len(own) == len(below)

    def said(self, others: list[str]) -> str:
        said = []
        if self.weights.place:
            average = ", an average over the training" if self.weights.averaged else ""
            rest = f", and not those of {listed(others)}" if average and others else ""
            said.append(f"the weights are those of '{self.weights.place}'{average}{rest}")
        if self.prefix:
            said.append(f"'{self.prefix}' was taken off their names")
        left = [*self.outside, *self.weights.others]
        if left:
            said.append(f"{len(left)} other entries were left out ({listed(left)})")
        if self.counters:
            said.append(f"{len(self.counters)} counters of another tool were left out ({listed(self.counters)})")
        if self.filled:
            said.append(f"{len(self.filled)} missing {OPTIONAL} were set to 0")
        if self.cast:
            said.append(f"they were cast from {', '.join(self.cast)} to what the network computes in")
        return "; ".join(said)


def _places(content: object, place: str, depth: int = 0) -> Iterator[Weights]:
    if not isinstance(content, dict) or depth > DEEPEST:
        return
    for key in (*AVERAGED, *RAW):
        if key in content:
            yield from _places(content[key], f"{place}.{key}".removeprefix("."), depth + 1)
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        versions = getattr(content, METADATA, None)
        known = versions.items() if isinstance(versions, dict) else ()
        yield Weights(
            place,
            tensors,
            {name: said for name, said in known if isinstance(name, str) and isinstance(said, dict)},
            tuple(str(key)[:80] for key in content if key not in tensors),
        )


def _prefixes(weights: Weights, own: Mapping[str, Any]) -> list[str]:
    """What may stand before a network's own names: where most of them follow; of equals an average's, the shortest."""
    needed = {key for key in own if key.rpartition(".")[2] != OPTIONAL}
    counts: dict[str, int] = {"": 0}
    for key in weights.tensors:
        parts = key.split(".")
        for place in range(len(parts)):
            if ".".join(parts[place:]) in needed:
                prefix = "".join(f"{part}." for part in parts[:place])
                counts[prefix] = counts.get(prefix, 0) + 1
    most = max(counts.values())
    best = [prefix for prefix, count in counts.items() if count == most]
    averaged = {prefix: bool({"ema", "averaged", "teacher"} & set(re.split(r"[._]", prefix))) for prefix in best}
    return sorted(best, key=lambda prefix: (not averaged[prefix], len(prefix)))


def listed(names: list[str]) -> str:
    """The first few of some names."""
    more = ", ..." if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
