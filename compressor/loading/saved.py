"""A form in a folder: weights as safetensors, structure as JSON, and a check that both were read right."""

import json
import platform
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn

from compressor import quantize
from compressor.errors import InputError, ModelFileError
from compressor.export.onnx import write_atomically
from compressor.factories import build, trusted
from compressor.loading.checkpoint import load_tensors
from compressor.models import (
    EngineModel,
    Form,
    InputSpec,
    ModelInfo,
    OnnxModel,
    QuantizationSpec,
    QuantizedModel,
    TorchForm,
    TorchModel,
)
from compressor.structure import apply_shapes, manifest_of

WEIGHTS, STRUCTURE, CHECK = "model.safetensors", "structure.json", "check.safetensors"
TOLERANCE = 1e-4
VERSION = 1


def save_form(form: Form, folder: Path, example_inputs: tuple[Tensor, ...]) -> None:
    """Write a form so that ``load_form`` reads it back in a fresh process, without pickle.

    Args:
        form: A finished file is only described: it lies in the folder already.
        folder: Made if it isn't there; each file is written atomically, the structure last.
        example_inputs: What the check runs; 16 samples are plenty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(form, (OnnxModel, EngineModel)):
        described = {
            "version": VERSION,
            "form": "onnx" if isinstance(form, OnnxModel) else "engine",
            "file": form.path.name,
            "precision": form.precision,
            "info": form.info.model_dump(mode="json"),
        }
        write_atomically(folder / STRUCTURE, json.dumps(described, indent=2).encode())
        return
    form.module.cpu().eval()
    contiguous = {key: value.detach().contiguous() for key, value in form.module.state_dict().items()}
    write_atomically(folder / WEIGHTS, tensor_bytes(_untied(contiguous)))
    _lay_out(form.module)
    inputs = tuple(tensor.detach().cpu().contiguous() for tensor in example_inputs)
    check = {f"input_{index}": tensor for index, tensor in enumerate(inputs)}
    check["output"] = _outputs(form.module, inputs)
    write_atomically(folder / CHECK, tensor_bytes(check))
    structure: dict[str, Any] = {
        "version": VERSION,
        "form": "quantized" if isinstance(form, QuantizedModel) else "torch",
        "info": form.info.model_dump(mode="json"),
        "manifest": form.structure if isinstance(form, QuantizedModel) else manifest_of(form.module),
        "torch": torch.__version__,
        "machine": _machine(),
    }
    if isinstance(form, QuantizedModel):
        structure["quantization"] = form.spec.model_dump(mode="json")
    write_atomically(folder / STRUCTURE, json.dumps(structure, indent=2).encode())


def load_form(folder: Path, *, factory: Callable[[], nn.Module] | None = None, trust: bool = False) -> Form:
    """Rebuild a form: factory, shapes, quantizers, weights; then run the check.

    Args:
        folder: Written by ``save_form``.
        factory: Builds the untouched architecture where the folder names no factory.
        trust: Import a factory that is not of a known library: it runs code.

    Raises:
        ModelFileError: Files missing or cut off, or the check's outputs differ.
        InputError: No factory.
        UntrustedError: The folder's factory is not of a known library.
    """
    structure = _structure(folder)
    info = ModelInfo.model_validate(structure["info"])
    if structure["form"] == "onnx":
        return OnnxModel(folder / structure["file"], info, structure["precision"])
    if structure["form"] == "engine":
        return EngineModel(folder / structure["file"], info, structure["precision"])
    try:
        weights, check = read_tensors(folder / WEIGHTS), read_tensors(folder / CHECK)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{folder}: weights can't be read: {error}", "run again with --fresh") from None
    inputs = tuple(check[key] for key in sorted(key for key in check if key.startswith("input_")))
    module = apply_shapes(_built(info, factory, folder, trust), structure["manifest"]).eval()
    form: TorchForm
    if structure["form"] == "quantized":
        spec = QuantizationSpec.model_validate(structure["quantization"])
        graph = quantize.insert(module, spec, inputs)
        form = QuantizedModel(graph, info, spec, structure["manifest"], factory)
    else:
        form = TorchModel(module, info, factory)
    load_tensors(form.module, _with_ties(form.module, weights), str(folder / WEIGHTS))
    form.module.eval()
    _verify(form.module, inputs, check["output"], structure, folder)
    return form


def read_description(path: Path, metadata: Mapping[str, str]) -> ModelInfo:
    """What an ONNX file's metadata says, as the info of a form."""
    beside = path.with_name(STRUCTURE)
    if beside.exists():
        try:
            saved = json.loads(beside.read_text())
            if saved.get("file") == path.name:
                return ModelInfo.model_validate(saved["info"])
        except (ValueError, KeyError):
            pass
    classes = json.loads(metadata.get("compressor.classes", "[]"))
    inputs = []
    for contract in json.loads(metadata.get("compressor.inputs", "[]")):
        known = {key: contract[key] for key in InputSpec.model_fields if contract.get(key) is not None}
        known["shape"] = tuple(side for side in contract.get("shape", ()) if isinstance(side, int))
        inputs.append(InputSpec.model_validate(known))
    return ModelInfo(inputs=tuple(inputs), classes=tuple(classes), task=metadata.get("compressor.task", "image-classification"))


def _structure(folder: Path) -> dict[str, Any]:
    try:
        structure: dict[str, Any] = json.loads((folder / STRUCTURE).read_text())
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{folder / STRUCTURE} can't be read: {error}", "a stage's folder of a run") from None
    if structure.get("version") != VERSION:
        raise ModelFileError(
            f"{folder / STRUCTURE} has version {structure.get('version')!r}, this release reads {VERSION}",
            "install the release of compressor that wrote it",
        )
    return structure


def _built(info: ModelInfo, factory: Callable[[], nn.Module] | None, folder: Path, trust: bool) -> nn.Module:
    if info.factory is not None:
        return build(info.factory if trust or factory is not None else trusted(info.factory, str(folder)))
    if factory is None:
        raise InputError(
            f"{folder} names no factory: the network came from Python",
            "load_form(folder, factory=...) with what builds the untouched architecture",
        )
    return factory()


def _untied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """safetensors refuses tensors that share memory: only the first of a tied group is written."""
    seen: set[tuple[int, torch.Size]] = set()
    kept = {}
    for key, value in tensors.items():
        mark = (value.data_ptr(), value.shape)
        if value.numel() and mark in seen:
            continue
        seen.add(mark)
        kept[key] = value
    return kept


def _with_ties(module: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    own = module.state_dict()
    by_pointer = {own[key].data_ptr(): key for key in own if key in weights}
    complete = dict(weights)
    for key, value in own.items():
        if key not in complete and value.data_ptr() in by_pointer:
            complete[key] = weights[by_pointer[value.data_ptr()]]
    return complete


def _lay_out(module: nn.Module) -> None:
    """Contiguous weights: another memory format gives other bits than a reloaded network."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.contiguous()


def _outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            outputs: Tensor = module(*inputs)
    finally:
        torch.set_num_threads(threads)
    return outputs.float().contiguous()


def _verify(
    module: nn.Module, inputs: tuple[Tensor, ...], saved: Tensor, structure: Mapping[str, Any], folder: Path
) -> None:
    outputs = _outputs(module, inputs)
    if torch.equal(outputs, saved):
        return
    same = structure["torch"] == torch.__version__ and structure["machine"] == _machine()
    distance = float((outputs - saved).abs().max() / saved.abs().max().clamp_min(1e-12))
    if same or distance > TOLERANCE:
        raise ModelFileError(
            f"{folder}: the reloaded network gives other outputs than the saved one (relative difference {distance:.1e})",
            "give the factory that built it, or run again with --fresh",
        )
    warnings.warn(f"{folder}: outputs differ by {distance:.1e} from those saved on another machine", stacklevel=2)


def _machine() -> str:
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"

