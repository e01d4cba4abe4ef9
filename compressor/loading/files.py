"""Any model file to a form; by content, never by running it."""

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compressor.errors import InputError, ModelFileError, UntrustedError
from compressor.export.onnx import read_metadata
from compressor.factories import build, parse_factory, trusted
from compressor.loading.checkpoint import find_state_dict, info_of, is_checkpoint, load_tensors
from compressor.loading.saved import STRUCTURE, load_form, read_description
from compressor.models import Form, ModelInfo, OnnxModel, TorchModel
from compressor.structure import apply_shapes

KINDS = "a checkpoint of compressor.save_checkpoint, a state_dict, TorchScript, a .pt2 program or an .onnx file"


def load_file(
    path: str | Path,
    *,
    factory: str | None = None,
    factory_args: Mapping[str, Any] | None = None,
    task: str | None = None,
    trust: bool = False,
) -> Form:
    """Read a model file, or a folder that a stage wrote.

    Args:
        path: See ``KINDS``.
        factory: What builds the network of a bare state_dict; replaces the one a checkpoint names.
        factory_args: Its keyword arguments.
        task: Replaces the file's own.
        trust: Load pickles and import factories that the file names: both run code.

    Raises:
        ModelFileError: Missing, empty, cut off, or not a model.
        UntrustedError: It would run code, and ``trust`` is False.
        InputError: Weights and factory don't fit.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path, factory, factory_args, trust)
    if not path.exists():
        raise ModelFileError(f"no file {path}", f"the path of {KINDS}")
    if path.stat().st_size == 0:
        raise ModelFileError(f"{path} is empty", "write it again")
    form = _load(path, factory, dict(factory_args or {}), trust)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    changed: dict[str, object] = {"source": path.name, "sha256": digest}
    if task is not None:
        changed["task"] = task
    return replace(form, info=form.info.model_copy(update=changed))


def _load_folder(path: Path, factory: str | None, arguments: Mapping[str, Any] | None, trust: bool) -> Form:
    if (path / STRUCTURE).exists():
        builder = None if factory is None else (lambda: build(parse_factory(factory, arguments)))
        return load_form(path, factory=builder, trust=trust)
    if (path / "config.json").exists():
        raise InputError(
            f"{path} is a Hugging Face folder; networks for text can't be compressed yet", "a checkpoint of a CNN"
        )
    raise ModelFileError(f"{path} is a folder without {STRUCTURE}", "a stage's folder of a run, or a model file")


def _load(path: Path, factory: str | None, arguments: dict[str, Any], trust: bool) -> Form:
    if path.suffix == ".onnx":
        return _load_onnx(path)
    names = _zip_names(path)
    if any(name.endswith("constants.pkl") for name in names):
        return TorchModel(_guarded(path, lambda: torch.jit.load(path, map_location="cpu")), ModelInfo())  # type: ignore[no-untyped-call]
    if path.suffix == ".pt2" or any("archive_format" in name for name in names):
        return TorchModel(_guarded(path, lambda: torch.export.load(path).module()), ModelInfo())
    content = _read(path, trust)
    if isinstance(content, nn.Module):
        ref = None if factory is None else parse_factory(factory, arguments)
        return TorchModel(content.eval(), ModelInfo(factory=ref))
    if is_checkpoint(content):
        return _from_checkpoint(path, content, factory, arguments, trust)
    tensors = find_state_dict(content, path)
    if factory is None:
        raise InputError(
            f"{path} is a bare state_dict: weights without the network they belong to",
            "--factory torchvision:resnet18 --factory-arg num_classes=10",
        )
    ref = parse_factory(factory, arguments)
    module = build(ref)
    load_tensors(module, tensors, str(path))
    return TorchModel(module.eval(), ModelInfo(factory=ref))


def _from_checkpoint(
    path: Path, content: Mapping[str, Any], factory: str | None, arguments: dict[str, Any], trust: bool
) -> TorchModel:
    info = info_of(content, path)
    if factory is not None:
        ref = parse_factory(factory, arguments)
    elif info.factory is None:
        raise ModelFileError(f"{path} names no factory", "--factory package.module:callable")
    else:
        ref = info.factory if trust else trusted(info.factory, str(path))
    module = apply_shapes(build(ref), content["structure"])
    load_tensors(module, content["state_dict"], str(path))
    return TorchModel(module.eval(), info.model_copy(update={"factory": ref}))


def _load_onnx(path: Path) -> OnnxModel:
    if path.stat().st_size < 16:
        raise ModelFileError(f"{path} is too short for an ONNX file", "export it again")
    try:
        metadata = read_metadata(path)
    except Exception as error:
        raise ModelFileError(f"{path} is not an ONNX file: {type(error).__name__}", "export it again") from None
    return OnnxModel(path, read_description(path, metadata), "int8" if metadata.get("compressor.precision") == "int8" else "fp32")


def _read(path: Path, trust: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = str(error)
        if not _is_pickle(path):
            raise ModelFileError(f"{path} is cut off or not a model file", f"the path of {KINDS}") from None
        if not trust:
            if "PytorchStreamReader" in reason:
                raise ModelFileError(f"{path} is cut off", "write or fetch it again") from None
            raise UntrustedError(
                f"{path} is a pickle of Python objects, and reading it would run code from it",
                "compressor.save_checkpoint in your own code, or --trust if you made the file",
            ) from None
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise ModelFileError(
            f"{path} can't be unpickled: {type(error).__name__}: {error}",
            "run in the folder where its classes can be imported",
        ) from error


def _guarded(path: Path, load: Any) -> nn.Module:
    try:
        module: nn.Module = load()
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(f"{path} can't be loaded: {reason}", "save it again with this torch") from None
    return module


def _zip_names(path: Path) -> list[str]:
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(2)
    return start == b"PK" or start[:1] == b"\x80"
