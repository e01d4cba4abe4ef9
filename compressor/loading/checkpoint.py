"""Our checkpoint: a dict of tensors and plain values that torch reads without unpickling code."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from compressor.errors import InputError, ModelFileError
from compressor.export.onnx import write_atomically
from compressor.factories import build, parse_factory
from compressor.models import FactoryRef, InputSpec, ModelInfo
from compressor.structure import apply_shapes, manifest_of

FORMAT = "compressor-checkpoint"
VERSION = 1
SHOWN = 4
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "module")
PREFIXES = ("module.", "_orig_mod.")


def save_checkpoint(
    module: nn.Module,
    path: str | Path,
    *,
    factory: str | FactoryRef,
    factory_args: Mapping[str, Any] | None = None,
    task: str = "image-classification",
    data: str | None = None,
    data_args: Mapping[str, Any] | None = None,
    example_inputs: tuple[Tensor, ...] | None = None,
    inputs: InputSpec | tuple[InputSpec, ...] | None = None,
    classes: Sequence[str] = (),
) -> None:
    """Write a network with everything ``compress run`` needs to know about it.

    Args:
        module: The trained network.
        path: The file, written atomically.
        factory: What builds it, ``"torchvision:resnet18"``.
        factory_args: The factory's keyword arguments, JSON values.
        task: What it does.
        data: The data spec it was trained on.
        data_args: That source's arguments.
        example_inputs: Where ``inputs`` isn't given: the shape of one sample is taken from here.
        inputs: Shape, mean and std of what the network expects.
        classes: Class names by label.

    Raises:
        InputError: The factory doesn't build this network, or a value isn't plain.
    """
    ref = factory if isinstance(factory, FactoryRef) else parse_factory(factory, factory_args)
    specs = (inputs,) if isinstance(inputs, InputSpec) else inputs
    if specs is None and example_inputs is not None:
        specs = tuple(InputSpec(name=f"input_{i}" if i else "input", shape=tuple(t.shape[1:])) for i, t in
                      enumerate(example_inputs))
    info = ModelInfo(
        factory=ref,
        task=task,
        data=data,
        data_args=dict(data_args or {}),
        inputs=specs or (),
        classes=tuple(classes),
    )
    manifest = manifest_of(module)
    apply_shapes(build(ref), manifest)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "info": info.model_dump(mode="json"),
        "structure": manifest,
        "state_dict": {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()},
    }
    buffer = BytesIO()
    torch.save(content, buffer)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, buffer.getvalue())


def is_checkpoint(content: object) -> bool:
    """Whether a loaded dict is one of ours."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def info_of(content: Mapping[str, Any], path: Path) -> ModelInfo:
    """What a checkpoint says about itself.

    Raises:
        ModelFileError: Another version, or fields that don't fit.
    """
    if content.get("version") != VERSION:
        raise ModelFileError(
            f"{path} is a checkpoint of version {content.get('version')!r}, this release reads {VERSION}",
            "install the release of compressor that wrote it",
        )
    try:
        return ModelInfo.model_validate(content["info"])
    except (KeyError, ValidationError) as error:
        raise ModelFileError(f"{path}: its description doesn't fit: {error}", "write it with save_checkpoint") from None


def find_state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """The tensors of a bare state_dict, out of the usual wrappings.

    Raises:
        ModelFileError: There are none.
    """
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        kind = type(content).__name__
        raise ModelFileError(
            f"{path} holds a {kind}, neither a checkpoint of ours nor a state_dict (a dict of tensors)",
            "compressor.save_checkpoint(module, path, factory=...)",
        )
    tensors: dict[str, Tensor] = {str(key): value for key, value in content.items()}
    for prefix in PREFIXES * 2:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load a state_dict strictly.

    Raises:
        InputError: Keys or shapes differ; the first few are named.
    """
    own = module.state_dict()
    faults = [f"the file lacks {key} {list(own[key].shape)}" for key in own if key not in tensors]
    faults += [f"the network lacks {key} {list(tensors[key].shape)}" for key in tensors if key not in own]
    faults += [
        f"{key}: {list(tensors[key].shape)} in the file, {list(own[key].shape)} in the network"
        for key in own
        if key in tensors and tensors[key].shape != own[key].shape
    ]
    if faults:
        more = f"\n  ... and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        listed = "\n  ".join(faults[:SHOWN])
        raise InputError(
            f"{where} doesn't fit the network that the factory builds ({type(module).__name__}):\n  {listed}{more}",
            "another --factory, or --factory-arg such as num_classes=10",
        )
    module.load_state_dict(dict(tensors))
