"""Any model file to a form: what it is is told by its content, and nothing in it is run without trust."""

import hashlib
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file as read_safetensors
from torch import fx, nn

from compressor.data.load import is_user_code
from compressor.errors import InputError, ModelFileError, UntrustedError
from compressor.factories import build, parse_factory, trusted
from compressor.loading.checkpoint import build_fresh, info_of, is_checkpoint
from compressor.loading.huggingface import CONFIG, WEIGHTS, is_huggingface, load_huggingface
from compressor.loading.onnx_file import load_onnx
from compressor.loading.saved import STRUCTURE, load_form
from compressor.loading.weights import find_state_dict, load_tensors
from compressor.models import FactoryRef, Form, ModelInfo, TorchModel
from compressor.structure import apply_shapes

KINDS = "a checkpoint (compressor.save_checkpoint), a state_dict, TorchScript, .pt2, .onnx or a stage's folder"
# How a file that torch.save wrote before its zip format starts: a pickle of protocol 2 or later.
PICKLE = b"\x80"


def load_file(
    path: str | Path,
    *,
    factory: str | FactoryRef | None = None,
    factory_args: Mapping[str, Any] | None = None,
    task: str | None = None,
    trust: bool = False,
) -> Form:
    """Read a model file, or a folder that a stage wrote.

    A data spec that would import the user's code is dropped from an untrusted file's description.

    Args:
        path: A checkpoint of ours, a bare state_dict (with ``factory``), TorchScript, a ``.pt2``
            program, an ONNX file, or a folder.
        factory: What builds the network; replaces the one that the file names.
        factory_args: Its keyword arguments.
        task: Replaces the file's own.
        trust: Load pickles and import what the file names: both run code.

    Raises:
        ModelFileError: Missing, empty, cut off, not a model, or it doesn't fit the factory.
        UntrustedError: It would run code, and ``trust`` is False.
        InputError: It needs a factory.
    """
    path = Path(path)
    ref = parse_factory(factory, factory_args) if isinstance(factory, str) else factory
    if ref is None and factory_args:
        raise InputError("arguments for a factory, but no factory", "--factory package.module:callable beside them")
    if path.is_dir():
        hashed = next((path / name for name in (STRUCTURE, WEIGHTS) if (path / name).exists()), path / CONFIG)
        return _changed(_load_folder(path, ref, task, trust), hashed, path, task)
    if not path.exists():
        raise ModelFileError(f"no file {path}", "the path of a model; 'compress example digits.pt' writes one")
    if path.stat().st_size == 0:
        raise ModelFileError(f"{path} is empty", "write or fetch it again")
    form = load_onnx(path) if path.suffix == ".onnx" else _load_torch(path, ref, trust)
    return _changed(form, path, path, task)


def _changed(form: Form, hashed: Path, path: Path, task: str | None) -> Form:
    with hashed.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    changed: dict[str, object] = {"source": str(path), "sha256": digest}
    if task is not None:
        changed["task"] = task
    return replace(form, info=form.info.model_copy(update=changed))


def _load_folder(path: Path, ref: FactoryRef | None, task: str | None, trust: bool) -> Form:
    if (path / STRUCTURE).exists():
        return load_form(path, factory=ref, trust=trust)
    if is_huggingface(path):
        return load_huggingface(path, task, trust)
    stages = sorted(entry.parent.name for entry in path.glob(f"*/{STRUCTURE}"))
    raise ModelFileError(
        f"{path} is a folder without {STRUCTURE}",
        f"{path / stages[-1]}" if stages else f"the path of {KINDS}",
    )


def _load_torch(path: Path, ref: FactoryRef | None, trust: bool) -> TorchModel:
    names = _zip_names(path)
    if any(name.endswith("/constants.pkl") for name in names):
        return _load_torchscript(path)
    if any(name.endswith(("/archive_format", "/models/model.json")) for name in names):
        return _load_program(path, trust)
    content: Any
    if path.suffix == ".safetensors":
        try:
            content = read_safetensors(path)
        except (SafetensorError, OSError) as error:
            raise ModelFileError(f"{path} can't be read: {error}", "write or fetch it again") from None
    else:
        content = _read_saved(path, bool(names), trust)
    if isinstance(content, nn.Module):
        return TorchModel(content.eval(), ModelInfo(factory=ref))
    if is_checkpoint(content):
        return _from_checkpoint(path, content, ref, trust)
    tensors = find_state_dict(content, path)
    if ref is None:
        raise InputError(
            f"{path} is a bare state_dict: weights without the network they belong to",
            "--factory torchvision:resnet18 --factory-arg num_classes=10",
        )
    module = build(ref)
    load_tensors(module, tensors, str(path))
    return TorchModel(module.eval(), ModelInfo(factory=ref))


def _from_checkpoint(path: Path, content: Mapping[str, Any], ref: FactoryRef | None, trust: bool) -> TorchModel:
    info = info_of(content, path)
    if ref is None:
        if info.factory is None:
            raise ModelFileError(f"{path} names no factory", "--factory package.module:callable")
        ref = info.factory if trust else trusted(info.factory, str(path))
    update: dict[str, object] = {"factory": ref}
    if info.data is not None and not trust and is_user_code(info.data):
        update |= {"data": None, "data_args": {}}
    module = build_fresh(ref)
    try:
        apply_shapes(module, content["structure"])
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path}: its structure doesn't fit: {error}", "write it again") from None
    load_tensors(module, find_state_dict(content, path), str(path))
    return TorchModel(module.eval(), info.model_copy(update=update))


def _load_torchscript(path: Path) -> TorchModel:
    def load() -> nn.Module:
        with warnings.catch_warnings():
            # torch deprecates TorchScript at every call; reading what others wrote stays useful.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            module: nn.Module = torch.jit.load(path, map_location="cpu")
        return module.eval()

    return TorchModel(_guarded(path, load), ModelInfo())


def _load_program(path: Path, trust: bool) -> TorchModel:
    if not trust:
        raise UntrustedError(
            f"{path} is a .pt2 program, which torch reads with pickle: reading it could run code from it",
            "--trust if you made the file",
        )

    def load() -> nn.Module:
        exported = torch.export.load(path).module(check_guards=False)
        # The exported module refuses train() and eval(); its modes are constants of the graph anyway.
        return fx.GraphModule(exported, exported.graph).eval()

    return TorchModel(_guarded(path, load), ModelInfo())


def _read_saved(path: Path, is_zip: bool, trust: bool) -> Any:
    if not is_zip:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"PK\x03\x04":
            raise ModelFileError(f"{path} is cut off: its table of contents is missing", "write or fetch it again")
        if start[:1] != PICKLE:
            raise ModelFileError(f"{path} is not a model file", f"the path of {KINDS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
    # torch's own words for a pickle that asks for more than tensors and plain values.
    if not any(word in reason for word in ("Unsupported", "weights_only", "Weights only")):
        raise ModelFileError(f"{path} is damaged: {reason.splitlines()[0]}", "write or fetch it again")
    if not trust:
        raise UntrustedError(
            f"{path} is a pickle of Python objects, and reading it would run code from it",
            "compressor.save_checkpoint(module, path, factory=...) where you made it, or --trust if you made the file",
        )
    return _guarded(path, lambda: torch.load(path, map_location="cpu", weights_only=False))


def _guarded(path: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelFileError(
            f"{path} can't be loaded: {type(error).__name__}: {reason}",
            "write it again with this torch; a pickle needs its classes to be importable here",
        ) from error


def _zip_names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return []
