"""The shape of a network as JSON, and how a fresh network takes that shape.

A pruned network has the same submodules as its factory's, with smaller tensors and smaller integer
attributes (``out_channels``, ``groups``, ``num_features``, ``num_heads``, ...). The manifest holds both, so
that a pruned network is rebuilt from its factory without the tool that pruned it; and what attention multiplies
its products by, which a factory computes from the width of its heads.
"""

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from compressor.errors import ModelFileError
from compressor.models import InputSpec
from compressor.reading import as_record

MANIFEST_VERSION = 1
SHOWN = 5
HINT = "copy the file again, or write it with compressor.save_checkpoint"
# 1 / sqrt(width of a head), as transformers and timm call it.
SCALES = ("scaling", "scale")
# Where a layer stands, not how wide it is: its factory counts.
PLACE = "layer_idx"
# How much more a manifest may describe than its file stores: tied tensors, and a little.
MOST_GROWTH, SMALL = 4, 10_000_000
# Numbers of a sample, whose size is the file's own word; a picture of 4096 pixels has 50 million.
LARGEST_CALL = 60_000_000

_Side = Annotated[int, Field(strict=True, ge=0, le=2**40)]
_Count = Annotated[int, Field(strict=True, ge=-(2**40), le=2**40)]
_Scale = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Manifest(BaseModel):
    version: int = Field(strict=True)
    tensors: dict[str, Annotated[list[_Side], Field(max_length=16)]]
    attributes: dict[str, dict[str, _Count | _Scale | list[_Count] | dict[str, _Count]]]


def manifest_of(module: nn.Module) -> dict[str, Any]:
    """Describe a network's shape.

    Returns:
        A JSON object: ``tensors`` maps every parameter and buffer to its shape, ``attributes`` maps every
        submodule that has public integers (or sequences or dicts of them), or a scale of attention, to those.
    """
    return {
        "version": MANIFEST_VERSION,
        "tensors": {name: list(tensor.shape) for name, tensor in _tensors(module).items()},
        "attributes": {
            name: found for name, child in module.named_modules(remove_duplicate=False) if (found := _numbers(child))
        },
    }


def apply_shapes(
    module: nn.Module,
    manifest: Mapping[str, Any],
    stored: Mapping[str, Tensor] | None = None,
    where: str = "the structure manifest",
    specs: Sequence[InputSpec] = (),
) -> nn.Module:
    """Give a fresh network the manifest's shapes, in place.

    Tensors whose shape differs are replaced by zeros (tied ones stay tied), the others are left alone;
    load the saved state dict afterwards.

    Args:
        module: Fresh from its factory.
        manifest: From ``manifest_of``, possibly by way of a file.
        stored: The tensors that are loaded afterwards, where they are at hand: a manifest can't ask for much more
            memory than its file has.
        where: Names the manifest's file in messages.
        specs: What the network was called with: some compute a buffer in their first call, at the size of its inputs
            (ConViT's relative places), and don't save it.

    Returns:
        The same module.

    Raises:
        ModelFileError: The manifest isn't one, or the network has other submodules or tensors than it says.
    """
    _check_kind(manifest, where)
    if specs and _computed_otherwise(module, manifest):
        _call(module, specs)
    _check_fit(module, manifest, stored, where)
    replaced: dict[int, Tensor] = {}
    # Every tensor that is replaced stays alive till the end, or its id could be given to a new one.
    current = _tensors(module)
    for name, shape in manifest["tensors"].items():
        tensor = current[name]
        if list(tensor.shape) == list(shape):
            continue
        owner, _, attribute = name.rpartition(".")
        if id(tensor) not in replaced:
            zeros = tensor.detach().new_zeros(shape)
            is_parameter = isinstance(tensor, nn.Parameter)
            replaced[id(tensor)] = nn.Parameter(zeros, tensor.requires_grad) if is_parameter else zeros
        setattr(module.get_submodule(owner), attribute, replaced[id(tensor)])
    for name, attributes in manifest["attributes"].items():
        child = module.get_submodule(name)
        for attribute, value in attributes.items():
            known = vars(child).get(attribute)
            if isinstance(value, list) and not isinstance(known, list):
                value = tuple(value)
            if isinstance(value, dict):
                # Its other values are the factory's own.
                value = {**(known if isinstance(known, dict) else {}), **value}
            if known != value:
                setattr(child, attribute, value)
    return module


def _computed_otherwise(module: nn.Module, manifest: Mapping[str, Any]) -> list[str]:
    """Buffers that no state dict has, and that the factory made in another size than they had when it was saved."""
    current, saved = _tensors(module), module.state_dict(keep_vars=True)
    return [
        name
        for name, shape in manifest["tensors"].items()
        if name in current and name not in saved and list(current[name].shape) != list(shape)
    ]


def _call(module: nn.Module, specs: Sequence[InputSpec]) -> None:
    """Call a network with one sample of nothing; what goes wrong is of no interest here."""
    if any(side < 1 for spec in specs for side in spec.shape) or sum(math.prod(s.shape) for s in specs) > LARGEST_CALL:
        return
    with torch.no_grad(), contextlib.suppress(Exception):
        module.eval()(*(torch.zeros(1, *spec.shape, dtype=getattr(torch, spec.dtype)) for spec in specs))


def _check_kind(manifest: Mapping[str, Any], where: str) -> None:
    version = as_record(_Manifest, dict(manifest), where, HINT, ModelFileError).version
    if version != MANIFEST_VERSION:
        raise ModelFileError(
            f"the structure manifest has version {version!r}, this release reads version {MANIFEST_VERSION}",
            "install the release of compressor that wrote the file",
        )


def _check_fit(module: nn.Module, manifest: Mapping[str, Any], stored: Mapping[str, Tensor] | None, where: str) -> None:
    current = _tensors(module)
    wanted: Mapping[str, list[int]] = manifest["tensors"]
    faults = [f"not in the network: {name} {list(shape)}" for name, shape in wanted.items() if name not in current]
    faults += [f"not in the file: {name} {list(t.shape)}" for name, t in current.items() if name not in wanted]
    faults += [
        f"{name} has {current[name].dim()} axes in the network, {len(shape)} in the file"
        for name, shape in wanted.items()
        if name in current and current[name].dim() != len(shape)
    ]
    submodules = dict(module.named_modules(remove_duplicate=False))
    faults += [f"no submodule '{name}' in the network" for name in manifest["attributes"] if name not in submodules]
    faults += [
        f"'{name}' has no {_kind(value)} called '{attribute}'"
        for name, attributes in manifest["attributes"].items()
        if name in submodules
        for attribute, value in attributes.items()
        if not _same_kind(_numbers(submodules[name]).get(attribute), value)
    ]
    if not faults:
        faults = [
            f"{name} isn't saved but computed by the factory: {list(current[name].shape)}, the file has {wanted[name]}"
            for name in _computed_otherwise(module, manifest)
        ]
    made = sum(
        math.prod(shape) for name, shape in wanted.items() if name in current and list(current[name].shape) != shape
    )
    held = sum(tensor.numel() for tensor in (stored or {}).values())
    if stored is not None and made > MOST_GROWTH * held + SMALL:
        raise ModelFileError(f"{where} describes tensors of {made:,} numbers, and the file has {held:,}", HINT)
    if faults:
        raise ModelFileError(
            f"the network that the factory builds ({type(module).__name__}) is not the one that was saved:\n"
            + _first(faults),
            "give the factory and arguments that built the saved network (--factory, --factory-arg)",
        )


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    named: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    named.update(module.named_buffers(remove_duplicate=False))
    return named


def _numbers(module: nn.Module) -> dict[str, float | list[int] | dict[str, int]]:
    found: dict[str, float | list[int] | dict[str, int]] = {}
    for name, value in vars(module).items():
        if name.startswith("_") or name == PLACE:
            continue
        if _is_integer(value) or (name in SCALES and isinstance(value, float)):
            found[name] = value
        elif isinstance(value, list | tuple) and value and all(_is_integer(item) for item in value):
            found[name] = list(value)
        elif type(value) is dict:
            whole = {key: item for key, item in value.items() if isinstance(key, str) and _is_integer(item)}
            found.update({name: whole} if whole else {})
    return found


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "dictionary of such integers"
    return "sequence of integers" if isinstance(value, list) else "number"


def _same_kind(known: object, value: object) -> bool:
    """Whether a value of a manifest may take the place of a submodule's own number, sequence or dictionary of them."""
    if isinstance(known, dict) or isinstance(value, dict):
        return isinstance(known, dict) and isinstance(value, dict) and value.keys() <= known.keys()
    return known is not None and isinstance(known, list) == isinstance(value, list)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _first(faults: Iterable[str]) -> str:
    lines = list(faults)
    more = [f"  ... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([*(f"  {line}" for line in lines[:SHOWN]), *more])
