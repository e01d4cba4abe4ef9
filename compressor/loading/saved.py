"""A form in a folder: weights as safetensors, structure as JSON, and a check that both were read right."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field
from safetensors.torch import load as tensors_of_bytes
from safetensors.torch import save as bytes_of_tensors
from torch import Tensor, fx, nn

from compressor import quantize
from compressor.copies import copy_of
from compressor.data.load import is_user_code
from compressor.errors import CompressError, InputError, ModelFileError
from compressor.factories import parse_factory, trusted
from compressor.factories.answers import answering
from compressor.faults import shown
from compressor.loading.check import make_check, verify
from compressor.loading.checkpoint import build_fresh
from compressor.loading.weights import load_tensors, state_of, untied
from compressor.models import (
    EngineModel,
    FactoryRef,
    Form,
    ModelInfo,
    Name,
    OnnxModel,
    QuantizationSpec,
    QuantizedModel,
    TorchModel,
)
from compressor.reading import as_record, read_bytes, read_json
from compressor.structure import apply_shapes, manifest_of
from compressor.tasks import modality_of
from compressor.writing import write_atomically

WEIGHTS, STRUCTURE, CHECK = "model.safetensors", "structure.json", "check.safetensors"
VERSION = 1
HINT = "copy the folder again: a folder that a stage wrote, whole"
LARGEST_WEIGHTS = 100_000_000_000
Factory = str | FactoryRef | Callable[[], nn.Module]


def save_form(form: Form, folder: Path, example_inputs: tuple[Tensor, ...]) -> None:
    """Write a form so that ``load_form`` reads it back in a fresh process, without pickle.

    Each file is written atomically, the structure last: it holds the weights' digest, so that files
    of two different saves are told apart. A finished file is described; it is copied into the folder
    if it lies elsewhere.

    Args:
        form: Left untouched.
        folder: Made if it isn't there.
        example_inputs: Real inputs, at least 2 samples; the check takes up to 16.

    Raises:
        DiskFullError: No space; no partial file is left.
    """
    if isinstance(form, OnnxModel | EngineModel):
        _describe_file(form, folder)
        return
    # A copy on the CPU in plain memory order: another order gives other bits than a reloaded network.
    module = copy_of(form.module).cpu().eval()
    for tensor in (*module.parameters(), *module.buffers()):
        # Not .contiguous(): a kernel over one channel passes for contiguous with channels_last strides.
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    kept, ties = untied(state_of(module))
    weights = bytes_of_tensors(kept)
    check, environment = make_check(module, example_inputs)
    quantized = isinstance(form, QuantizedModel)
    structure = {
        "version": VERSION,
        "form": "quantized" if quantized else "torch",
        "info": form.info.model_dump(mode="json"),
        "structure": dict(form.structure) if isinstance(form, QuantizedModel) else manifest_of(module),
        "quantization": form.spec.model_dump(mode="json") if isinstance(form, QuantizedModel) else None,
        "ties": ties,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "environment": environment,
    }
    write_atomically(folder / WEIGHTS, weights)
    write_atomically(folder / CHECK, bytes_of_tensors(check))
    write_atomically(folder / STRUCTURE, json.dumps(structure, indent=1).encode())


def load_form(folder: Path, *, factory: Factory | None = None, trust: bool = False) -> Form:
    """Rebuild a form: factory, shapes, quantizers, weights; then run the check.

    Args:
        folder: Written by ``save_form``.
        factory: A name replaces the factory that the folder names. A callable is used where the folder
            names none: it builds the untouched architecture of a network that came from Python.
        trust: Import a factory of the folder's that is not of a known library: it runs code.

    Raises:
        ModelFileError: Files missing, damaged or of different saves, or the check's outputs differ.
        InputError: No factory.
        UntrustedError: The folder's factory is not of a known library.
    """
    saved = _read_structure(folder, trust)
    form, info = saved.form, saved.info
    if form in ("onnx", "engine"):
        return _described_file(folder, saved)
    weights = _read(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != saved.weights_sha256:
        raise ModelFileError(
            f"{folder / WEIGHTS} is not the file that {STRUCTURE} belongs to: damaged, or of another save",
            "run again with --fresh, or copy the whole folder again",
        )
    tensors, check = _tensors(weights, folder / WEIGHTS), _tensors(_read(folder / CHECK), folder / CHECK)
    unknown = [first for first in saved.ties.values() if first not in tensors]
    if unknown:
        raise ModelFileError(f"{folder / STRUCTURE}: ties: no tensor {shown(unknown[0])} in {WEIGHTS}", HINT)
    tensors |= {name: tensors[first] for name, first in saved.ties.items()}
    inputs = tuple(check[key] for key in sorted(key for key in check if key.startswith("input_")))
    ref, module = _network(folder, info, factory, trust, tensors)
    info = info.model_copy(update={"factory": ref})
    builder = factory if callable(factory) and not isinstance(factory, FactoryRef) and ref is None else None
    rebuilt: TorchModel | QuantizedModel
    manifest = saved.structure
    answers = answering(module, info.output)
    module = apply_shapes(answers, manifest, tensors, str(folder / STRUCTURE), info.inputs).eval()
    if form == "quantized":
        assert saved.quantization is not None
        graph = _inserted(folder, module, saved.quantization, inputs, info)
        rebuilt = QuantizedModel(graph, info, saved.quantization, manifest, builder)
    else:
        rebuilt = TorchModel(module, info, builder)
    load_tensors(rebuilt.module, tensors, str(folder / WEIGHTS))
    rebuilt.module.eval()
    verify(rebuilt.module, check, saved.environment, folder, rounds=form == "quantized")
    return rebuilt


def _inserted(
    folder: Path, module: nn.Module, spec: QuantizationSpec, inputs: tuple[Tensor, ...], info: ModelInfo
) -> fx.GraphModule:
    try:
        return quantize.insert(module, spec, inputs, modality_of(info.task).longest(info))
    except CompressError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ModelFileError(f"{folder / STRUCTURE}: its quantizers don't fit: {reason}", HINT) from error


class _Saved(BaseModel):
    """The whole of a structure.json."""

    version: int = Field(strict=True)
    form: Literal["torch", "quantized", "onnx", "engine"]
    info: ModelInfo
    structure: dict[str, Any] = {}
    quantization: QuantizationSpec | None = None
    ties: dict[str, str] = {}
    weights_sha256: str = ""
    environment: dict[str, str] = {}
    file: Name = ""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    device: str = ""


def _read_structure(folder: Path, trust: bool) -> _Saved:
    path = folder / STRUCTURE
    content = read_json(path, dict, HINT, ModelFileError)
    if content.get("version") != VERSION:
        raise ModelFileError(
            f"{path} has version {shown(content.get('version'))}, this release reads {VERSION}",
            "install the release of compressor that wrote it",
        )
    saved = as_record(_Saved, content, str(path), HINT, ModelFileError)
    lacking = {"torch": saved.structure, "quantized": saved.structure and saved.quantization}.get(
        saved.form, saved.file
    )
    if not lacking:
        raise ModelFileError(f"{path} doesn't describe the {saved.form} form that it names", HINT)
    hidden: dict[str, object] = {"notes": ()}
    if saved.info.data is not None and not trust and is_user_code(saved.info.data):
        hidden |= {"data": None, "data_args": {}}
    return saved.model_copy(update={"info": saved.info.model_copy(update=hidden)})


def _network(
    folder: Path, info: ModelInfo, factory: Factory | None, trust: bool, stored: Mapping[str, Tensor]
) -> tuple[FactoryRef | None, nn.Module]:
    if isinstance(factory, str):
        factory = parse_factory(factory)
    if isinstance(factory, FactoryRef):
        return factory, build_fresh(factory)
    if info.factory is not None and trust:
        return info.factory, build_fresh(info.factory)
    if info.factory is not None:
        return info.factory, build_fresh(trusted(info.factory, str(folder)), stored)
    if factory is None:
        raise InputError(
            f"{folder} names no factory: the network came from Python",
            "load_form(folder, factory=...) with what builds the untouched architecture, or --factory",
        )
    return None, factory()


def _read(path: Path) -> bytes:
    return read_bytes(path, HINT, ModelFileError, LARGEST_WEIGHTS)


def _tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return tensors_of_bytes(content)
    except Exception as error:
        raise ModelFileError(f"{path} is damaged: {error}", HINT) from None


def _describe_file(form: OnnxModel | EngineModel, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / form.path.name
    if path.resolve() != form.path.resolve():
        write_atomically(path, form.path.read_bytes())
    described = {
        "version": VERSION,
        "form": "onnx" if isinstance(form, OnnxModel) else "engine",
        "file": path.name,
        "precision": form.precision,
        "device": form.device if isinstance(form, EngineModel) else "",
        "info": form.info.model_dump(mode="json"),
    }
    write_atomically(folder / STRUCTURE, json.dumps(described, indent=1).encode())


def _described_file(folder: Path, saved: _Saved) -> OnnxModel | EngineModel:
    path = folder / Path(saved.file).name
    if not path.is_file():
        raise ModelFileError(f"no file {path}, which {STRUCTURE} describes", HINT)
    if saved.form == "onnx":
        return OnnxModel(path, saved.info, saved.precision)
    return EngineModel(path, saved.info, saved.precision, saved.device)
