"""Tensors by name: out of a module, out of tied memory, and strictly into a network."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from compressor.errors import ModelFileError

SHOWN = 4
PREFIXES = ("module.", "_orig_mod.")
# Where a state_dict keeps the versions of its modules, by which they read what an older release wrote.
METADATA = "_metadata"


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's state_dict on the CPU, contiguous; wrappers' prefixes are taken off.

    Raises:
        ModelFileError: It holds something that isn't a tensor.
    """
    state = module.state_dict()
    strange = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if strange:
        raise ModelFileError(
            f"'{strange[0]}' in the state_dict of {type(module).__name__} is not a tensor",
            "a network without get_extra_state",
        )
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    versions = getattr(state, METADATA, {})
    for prefix in PREFIXES * 2:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
            versions = versions_below(versions, prefix)
    return with_versions(tensors, versions)


def with_versions(tensors: Mapping[str, Tensor], versions: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state_dict as torch writes it: the tensors, and beside them the versions of the modules they belong to."""
    state: OrderedDict[str, Tensor] = OrderedDict(tensors)
    setattr(state, METADATA, OrderedDict(versions))
    return state


def versions_below(versions: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The versions of the modules under a prefix, by their names without it."""
    root = prefix.removesuffix(".")
    return {
        name.removeprefix(root).removeprefix("."): said
        for name, said in versions.items()
        if not prefix or name == root or name.startswith(prefix)
    }


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load a state_dict strictly, as modules of its versions read it; without any, it is of this release's.

    Args:
        module: Changed in place.
        tensors: By name.
        where: What holds the tensors, for the message.

    Raises:
        ModelFileError: Names, shapes or kinds differ; the first few are listed.
    """
    own = module.state_dict()
    faults, advice = _faults(own, tensors)
    versions = {**getattr(own, METADATA, {}), **getattr(tensors, METADATA, {})}
    try:
        if any(isinstance(own.get(key), Tensor) and _is_coded(tensor, own[key]) for key, tensor in tensors.items()):
            raise TypeError("integers where the network has weights")
        # What doesn't fit by name may be an older release's, which the modules themselves can read.
        module.load_state_dict(with_versions(tensors, versions))
    except Exception as error:
        faults = faults or [" ".join(str(error).split())]
        more = f"\n  ... and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ModelFileError(
            f"{where} doesn't fit {type(module).__name__}, which the factory builds:\n  "
            + "\n  ".join(faults[:SHOWN])
            + more,
            advice,
        ) from None


def _faults(own: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[list[str], str]:
    lacking = [key for key in own if key not in tensors]
    extra = [key for key in tensors if key not in own]
    different = [key for key in own if key in tensors and not fits(tensors[key], own[key])]
    faults = [f"{key}: {_shape(tensors[key])} in the file, {_shape(own[key])} in the network" for key in different]
    faults += [f"{key} {_shape(own[key])} is missing in the file" for key in lacking]
    faults += [f"{key} {_shape(tensors[key])} is not in the network" for key in extra]
    return faults, _advice(different, lacking, extra, tensors, own)


def fits(tensor: Tensor, wanted: object) -> bool:
    """Whether a tensor has the shape that a network wants, any where it isn't known yet, and numbers for numbers."""
    if not isinstance(wanted, Tensor) or _is_coded(tensor, wanted):
        return False
    return is_lazy(wanted) or tensor.shape == wanted.shape


def _is_coded(tensor: Tensor, wanted: Tensor) -> bool:
    return wanted.is_floating_point() and not tensor.is_floating_point()


def _shape(value: object) -> str:
    if not isinstance(value, Tensor) or is_lazy(value):
        return "of any shape"
    kind = "" if value.is_floating_point() else f"{value.dtype} ".removeprefix("torch.")
    return f"{kind}{list(value.shape)}"


def _advice(
    different: list[str],
    lacking: list[str],
    extra: list[str],
    tensors: Mapping[str, Tensor],
    own: Mapping[str, Any],
) -> str:
    """Where only the last layer's outputs differ, the number of classes is what is wrong."""
    if (
        different
        and not lacking
        and not extra
        and {key.rpartition(".")[0] for key in different} == {list(own)[-1].rpartition(".")[0]}
        and tensors[different[0]].dim()
    ):
        return f"--factory-arg num_classes={tensors[different[0]].shape[0]}"
    return "another --factory or --factory-arg KEY=VALUE: those that built the network that was trained"


def untied(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What safetensors takes: no two tensors that share memory.

    Returns:
        The tensors without the later ones of each tied group, and the name that each of those repeats.
    """
    first: dict[tuple[int, torch.Size, torch.dtype], str] = {}
    memory: set[int] = set()
    kept: dict[str, Tensor] = {}
    ties: dict[str, str] = {}
    for name, tensor in tensors.items():
        mark = (tensor.data_ptr(), tensor.shape, tensor.dtype)
        storage = tensor.untyped_storage().data_ptr()
        if tensor.numel() and mark in first:
            ties[name] = first[mark]
            continue
        first[mark] = name
        kept[name] = tensor.clone() if storage in memory else tensor
        memory.add(storage)
    return kept, ties
