"""Any model file to a form: what it is is told by its content, and nothing in it is run without trust."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from compressor.errors import InputError, ModelFileError
from compressor.factories import parse_factory
from compressor.loading.config_json import CONFIG
from compressor.loading.huggingface import is_huggingface, load_huggingface
from compressor.loading.onnx_file import load_onnx
from compressor.loading.pretrained import WEIGHTS
from compressor.loading.saved import STRUCTURE, load_form
from compressor.loading.torch_files import KINDS, load_torch
from compressor.models import FactoryRef, Form


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
    form = load_onnx(path) if path.suffix == ".onnx" else load_torch(path, ref, trust)
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
