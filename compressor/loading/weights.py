"""Tensors by name: out of their wrappings, out of tied memory, and strictly into a network."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from compressor.errors import ModelFileError

SHOWN = 4
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "module")
PREFIXES = ("module.", "_orig_mod.")


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
    return without_prefixes({key: value.detach().cpu().contiguous() for key, value in state.items()})


def without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what DistributedDataParallel and torch.compile put before all of them."""
    for prefix in PREFIXES * 2:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def find_state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """The tensors of a bare state_dict, out of the usual wrappings.

    Raises:
        ModelFileError: There are none.
    """
    found = content
    if isinstance(content, dict):
        for wrapper in WRAPPERS:
            if isinstance(content.get(wrapper), dict):
                found = content[wrapper]
                break
    if isinstance(found, dict) and found and all(isinstance(value, Tensor) for value in found.values()):
        return without_prefixes({str(key): value for key, value in found.items()})
    what = f"a {type(content).__name__}"
    if isinstance(content, dict):
        what += f" with {', '.join(repr(key) for key in list(content)[:SHOWN])}" if content else ", empty"
    raise ModelFileError(
        f"{path} holds {what}: neither a checkpoint of ours nor a state_dict (a dict of tensors)",
        "compressor.save_checkpoint(module, path, factory=...)",
    )


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load a state_dict strictly.

    Args:
        module: Changed in place.
        tensors: By name.
        where: What holds the tensors, for the message.

    Raises:
        ModelFileError: Names or shapes differ; the first few are listed.
    """
    own = module.state_dict()
    shapes = {key: list(value.shape) if isinstance(value, Tensor) else None for key, value in own.items()}
    lacking = [key for key in own if key not in tensors]
    extra = [key for key in tensors if key not in own]
    different = [key for key in own if key in tensors and list(tensors[key].shape) != shapes[key]]
    faults = [f"{key}: {list(tensors[key].shape)} in the file, {shapes[key]} in the network" for key in different]
    faults += [f"{key} {shapes[key]} is missing in the file" for key in lacking]
    faults += [f"{key} {list(tensors[key].shape)} is not in the network" for key in extra]
    if faults:
        more = f"\n  ... and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ModelFileError(
            f"{where} doesn't fit {type(module).__name__}, which the factory builds:\n  "
            + "\n  ".join(faults[:SHOWN])
            + more,
            _advice(different, lacking, extra, tensors, own),
        )
    module.load_state_dict(dict(tensors))


def _advice(
    different: list[str],
    lacking: list[str],
    extra: list[str],
    tensors: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
) -> str:
    """Where only the last layer's outputs differ, the number of classes is what is wrong."""
    if (
        different
        and not lacking
        and not extra
        and {key.rpartition(".")[0] for key in different} == {list(own)[-1].rpartition(".")[0]}
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
