"""Files that torch wrote: checkpoints, state_dicts, pickled modules, TorchScript and exported programs."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file as read_safetensors
from torch import fx, nn

from compressor.copies import copy_of
from compressor.data.load import is_user_code
from compressor.errors import CompressError, InputError, ModelFileError, UntrustedError
from compressor.factories import build, trusted
from compressor.factories.answers import answering
from compressor.loading.archive import check_code, entries_of, kind_of
from compressor.loading.checkpoint import build_fresh, info_of, is_checkpoint
from compressor.loading.pickles import check_pickles, read_plain, read_trusted, unwrapped
from compressor.loading.weights import load_tensors
from compressor.loading.wrappings import check_stored, find_modules, find_weights, load_weights
from compressor.models import FactoryRef, ModelInfo, TorchModel
from compressor.structure import apply_shapes

KINDS = "a checkpoint (compressor.save_checkpoint), a state_dict, TorchScript, .pt2, .onnx or a stage's folder"
# How a file that torch.save wrote before its zip format starts: a pickle of protocol 2 or later.
PICKLE = b"\x80"


def load_torch(path: Path, ref: FactoryRef | None, trust: bool) -> TorchModel:
    """Read a file that torch or safetensors wrote; what it is is told by its content.

    Args:
        path: An existing file.
        ref: What builds the network; replaces the one that the file names.
        trust: Run the code in it.

    Raises:
        ModelFileError: Damaged, beyond a bound, not a model, or it doesn't fit the factory.
        UntrustedError: Reading it would run code, and ``trust`` is False.
        InputError: It needs a factory.
    """
    entries = entries_of(path)
    kind = kind_of(entries)
    if kind == "torchscript":
        _needs_trust(trust, f"{path} is a TorchScript file, which is a program: loading or calling it runs its code")
        check_code(path, entries)
        check_pickles(path, entries)
        return TorchModel(_guarded(path, lambda: _torchscript(path)), ModelInfo())
    if kind == "program":
        _needs_trust(trust, f"{path} is a .pt2 program, which torch reads with pickle: reading it could run code")
        return _from_module(path, _guarded(path, lambda: _program(path)), None, "")
    content = _safetensors(path) if path.suffix == ".safetensors" and not entries else _saved(path, entries, trust)
    for place, module in find_modules(content):
        return _from_module(path, module, ref, place)
    if is_checkpoint(content):
        return _from_checkpoint(path, content, ref, trust)
    found = find_weights(content, str(path))
    if ref is None:
        raise InputError(
            f"{path} is a bare state_dict: weights without the network they belong to",
            "--factory torchvision:resnet18 --factory-arg num_classes=10",
        )
    module = build(ref)
    said = load_weights(module, found, str(path))
    return TorchModel(module.eval(), ModelInfo(factory=ref, notes=_notes(path, said)))


def _from_checkpoint(path: Path, content: Mapping[str, Any], ref: FactoryRef | None, trust: bool) -> TorchModel:
    info = info_of(content, path)
    is_strangers = ref is None and not trust
    if ref is None:
        if info.factory is None:
            raise ModelFileError(f"{path} names no factory", "--factory package.module:callable")
        ref = info.factory if trust else trusted(info.factory, str(path))
    update: dict[str, object] = {"factory": ref}
    if info.data is not None and not trust and is_user_code(info.data):
        update |= {"data": None, "data_args": {}}
    tensors = content["state_dict"]
    for name, tensor in tensors.items():
        check_stored(name, tensor, str(path))
    answers = answering(build_fresh(ref, tensors if is_strangers else None), info.output)
    module = apply_shapes(answers, content["structure"], tensors, str(path), info.inputs)
    load_tensors(module, tensors, str(path))
    return TorchModel(module.eval(), info.model_copy(update=update))


def _from_module(path: Path, found: nn.Module, ref: FactoryRef | None, place: str) -> TorchModel:
    """A whole network: within this process a copy of it is what builds it again."""
    module, said = unwrapped(found)
    if isinstance(module, torch.jit.ScriptModule):
        return TorchModel(module.eval(), ModelInfo(notes=_notes(path, said)))
    halves = {p.dtype for p in module.parameters() if p.is_floating_point()} - {torch.float32}
    if halves:
        cast = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in halves))
        said = "; ".join(filter(None, (said, f"its weights were cast from {cast} to float32")))
    if place:
        said = "; ".join(filter(None, (f"the network is that of '{place}'", said)))
    untouched = module.float().eval().requires_grad_(True)
    return TorchModel(
        copy_of(untouched),
        ModelInfo(factory=ref, notes=_notes(path, said)),
        None if ref else lambda: copy_of(untouched),
    )


def _notes(path: Path, said: str) -> tuple[str, ...]:
    return (f"{path.name}: {said}",) if said else ()


def _needs_trust(trust: bool, why: str) -> None:
    if not trust:
        raise UntrustedError(why, "--trust if you made the file")


def _torchscript(path: Path) -> nn.Module:
    with warnings.catch_warnings():
        # torch deprecates TorchScript at every call; reading what others wrote stays useful.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        module: nn.Module = torch.jit.load(path, map_location="cpu")
    return module.eval()


def _program(path: Path) -> nn.Module:
    exported = torch.export.load(path).module(check_guards=False)
    # The exported module refuses train() and eval(); its modes are constants of the graph anyway.
    return fx.GraphModule(exported, exported.graph).eval()


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return read_safetensors(path)
    except Exception as error:
        raise ModelFileError(f"{path} can't be read: {error}", "write or fetch it again") from None


def _saved(path: Path, entries: list[Any], trust: bool) -> Any:
    if not entries:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"PK\x03\x04":
            raise ModelFileError(f"{path} is cut off: its table of contents is missing", "write or fetch it again")
        if start[:1] != PICKLE:
            raise ModelFileError(f"{path} is not a model file", f"the path of {KINDS}")
    check_pickles(path, entries, trust)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_plain(path)
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
    return _guarded(path, lambda: read_trusted(path))


def _guarded(path: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except CompressError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelFileError(
            f"{path} can't be loaded: {type(error).__name__}: {reason}",
            "write it again with this torch; a pickle needs its classes to be importable here",
        ) from error
