"""Our checkpoint: a dict of tensors and plain values that torch reads without unpickling code."""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compressor.errors import InputError, ModelFileError
from compressor.factories import build, is_known_library, parse_factory
from compressor.factories.answers import answering
from compressor.factories.bounded import at_most
from compressor.factories.trust import without_fetching
from compressor.faults import shown
from compressor.loading.weights import load_tensors, state_of
from compressor.models import FactoryRef, InputSpec, ModelInfo, OutputRule, TokenizerSpec
from compressor.reading import as_record
from compressor.structure import apply_shapes, manifest_of
from compressor.writing import write_atomically

FORMAT = "compressor-checkpoint"
VERSION = 1


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
    tokenizer: TokenizerSpec | None = None,
    output: OutputRule | None = None,
) -> None:
    """Write a network with everything ``compress run`` needs to know about it.

    Args:
        module: The trained network; a pruned one is fine.
        path: The file, written atomically.
        factory: What builds it, ``"torchvision:resnet18"``.
        factory_args: The factory's keyword arguments, JSON values.
        task: What it does.
        data: The data spec it was trained on.
        data_args: That source's arguments.
        example_inputs: Where ``inputs`` isn't given: the shape of one sample is taken from here.
        inputs: Shape, mean and std of what the network expects.
        classes: Class names by label.
        tokenizer: What makes a text network's inputs.
        output: How its answers are had, where the network was made to answer so; see ``compressor.tasks.probe``.

    Raises:
        InputError: The factory doesn't build this network, or a value isn't plain.
        DiskFullError: No space for the file.
    """
    ref = factory if isinstance(factory, FactoryRef) else parse_factory(factory, factory_args)
    info = ModelInfo(
        factory=ref,
        task=task,
        data=data,
        data_args=dict(data_args or {}),
        inputs=_input_specs(inputs, example_inputs),
        classes=tuple(classes),
        tokenizer=tokenizer,
        output=output,
    )
    try:
        plain = json.loads(json.dumps({"factory": ref.arguments, "data": info.data_args}))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"factory_args and data_args must be JSON values: {error}", "numbers, strings, lists and dicts"
        ) from None
    described = info.model_dump(mode="json")
    described["factory"]["arguments"], described["data_args"] = plain["factory"], plain["data"]
    manifest = manifest_of(module)
    tensors = state_of(module)
    # Better now than when the file is read and the training is long over.
    load_tensors(apply_shapes(answering(build_fresh(ref), output), manifest, specs=info.inputs), tensors, "the module")
    content = {
        "format": FORMAT,
        "version": VERSION,
        "info": described,
        "structure": manifest,
        "state_dict": tensors,
        "torch": str(torch.__version__),
    }
    buffer = BytesIO()
    torch.save(content, buffer)
    write_atomically(Path(path), buffer.getvalue())


def build_fresh(ref: FactoryRef, stored: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Build a network whose weights are loaded afterwards: a known library fetches none meanwhile.

    Args:
        ref: What builds it.
        stored: The weights, where they are at hand: a network of far more is stopped while it is built.
    """
    safe = without_fetching(ref) if is_known_library(ref) else ref
    if stored is None:
        return build(safe)
    with at_most(sum(tensor.numel() for tensor in stored.values()), len(stored)):
        return build(safe)


def is_checkpoint(content: object) -> bool:
    """Whether a loaded object is one of ours."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def info_of(content: Mapping[str, Any], path: Path) -> ModelInfo:
    """What a checkpoint says about itself.

    Raises:
        ModelFileError: Another version, or fields that don't fit.
    """
    if content.get("version") is True or content.get("version") != VERSION:
        raise ModelFileError(
            f"{path} is a checkpoint of version {shown(content.get('version'))}, this release reads {VERSION}",
            "install the release of compressor that wrote it",
        )
    hint = "write it with compressor.save_checkpoint"
    missing = [key for key in ("info", "structure", "state_dict") if not isinstance(content.get(key), dict)]
    if missing:
        raise ModelFileError(f"{path} has no {missing[0]}", hint)
    strange = [key for key, value in content["state_dict"].items() if not isinstance(value, Tensor)]
    if strange or not all(isinstance(key, str) for key in content["state_dict"]):
        raise ModelFileError(f"{path}: its state_dict holds other things than tensors by name", hint)
    info = as_record(ModelInfo, content["info"], f"{path}: its description doesn't fit", hint, ModelFileError)
    return info.model_copy(update={"notes": ()})


def _input_specs(
    inputs: InputSpec | tuple[InputSpec, ...] | None, example_inputs: tuple[Tensor, ...] | None
) -> tuple[InputSpec, ...]:
    if inputs is not None:
        return (inputs,) if isinstance(inputs, InputSpec) else tuple(inputs)
    return tuple(
        InputSpec(
            name=f"input_{place}" if place else "input",
            shape=tuple(tensor.shape[1:]),
            dtype="int64" if tensor.dtype == torch.int64 else "float32",
            layout="NCHW" if tensor.dim() == 4 else "",
        )
        for place, tensor in enumerate(example_inputs or ())
    )
