"""The shape of a network as JSON, and how a fresh network takes that shape.

A pruned network has the same submodules as its factory's, with smaller tensors and smaller integer
attributes (``out_channels``, ``groups``, ``num_features``, ``num_heads``, ...). The manifest holds both, so
that a pruned network is rebuilt from its factory without the tool that pruned it; and what attention multiplies
its products by, which a factory computes from the width of its heads.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from compressor.errors import ModelFileError

MANIFEST_VERSION = 1
SHOWN = 5
# 1 / sqrt(width of a head), as transformers and timm call it.
SCALES = ("scaling", "scale")
# Where a layer stands, not how wide it is: its factory counts.
PLACE = "layer_idx"


def manifest_of(module: nn.Module) -> dict[str, Any]:
    """Describe a network's shape.

    Returns:
        A JSON object: ``tensors`` maps every parameter and buffer to its shape, ``attributes`` maps every
        submodule that has public integers (or sequences of them), or a scale of attention, to those.
    """
    return {
        "version": MANIFEST_VERSION,
        "tensors": {name: list(tensor.shape) for name, tensor in _tensors(module).items()},
        "attributes": {
            name: found for name, child in module.named_modules(remove_duplicate=False) if (found := _numbers(child))
        },
    }


def apply_shapes(module: nn.Module, manifest: Mapping[str, Any]) -> nn.Module:
    """Give a fresh network the manifest's shapes, in place.

    Tensors whose shape differs are replaced by zeros (tied ones stay tied), the others are left alone;
    load the saved state dict afterwards.

    Args:
        module: Fresh from its factory.
        manifest: From ``manifest_of``, possibly by way of JSON.

    Returns:
        The same module.

    Raises:
        ModelFileError: The network has other submodules or other tensors than the manifest.
    """
    _check_fit(module, manifest)
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
            if known != value:
                setattr(child, attribute, value)
    return module


def _check_fit(module: nn.Module, manifest: Mapping[str, Any]) -> None:
    version = manifest.get("version")
    if version != MANIFEST_VERSION:
        raise ModelFileError(
            f"the structure manifest has version {version!r}, this release reads version {MANIFEST_VERSION}",
            "install the release of compressor that wrote the file",
        )
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
    if not faults:
        saved = module.state_dict(keep_vars=True)
        faults = [
            f"{name} isn't saved but computed by the factory: {list(current[name].shape)}, the file has {list(shape)}"
            for name, shape in wanted.items()
            if name not in saved and list(current[name].shape) != list(shape)
        ]
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


def _numbers(module: nn.Module) -> dict[str, float | list[int]]:
    found: dict[str, float | list[int]] = {}
    for name, value in vars(module).items():
        if name.startswith("_") or name == PLACE:
            continue
        if _is_integer(value) or (name in SCALES and isinstance(value, float)):
            found[name] = value
        elif isinstance(value, list | tuple) and value and all(_is_integer(item) for item in value):
            found[name] = list(value)
    return found


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _first(faults: Iterable[str]) -> str:
    lines = list(faults)
    more = [f"  ... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([*(f"  {line}" for line in lines[:SHOWN]), *more])
