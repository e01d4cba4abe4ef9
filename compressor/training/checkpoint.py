"""The state of a training after each epoch, so that a killed one goes on with equal bits."""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compressor.errors import DiskFullError, InputError


@dataclass
class TrainState:
    """Everything the next epoch depends on, and the best weights so far."""

    identity: str
    epoch: int = 0
    module: dict[str, Any] = field(default_factory=dict)
    helpers: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    best_score: float | None = None
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)


def write_state(path: Path, state: TrainState) -> None:
    """Write atomically: the file is either the last epoch's or this one's.

    Raises:
        DiskFullError: No space; the partial file was removed.
    """
    partial = path.with_name(path.name + ".tmp")
    try:
        torch.save(asdict(state), partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        # torch's zip writer turns a full disk into a RuntimeError without an errno.
        full = "PytorchStreamWriter" in str(error) or "inline_container" in str(error)
        if getattr(error, "errno", None) == errno.ENOSPC or full:
            raise DiskFullError(f"no space left to write {path}", "free some space and run again") from error
        raise


def read_state(path: Path, identity: str) -> TrainState:
    """The state of a training with the same identity, or a fresh one.

    A file that can't be read is a leftover of a crash: training starts over.

    Raises:
        InputError: A folder is where the file goes.
    """
    fresh = TrainState(identity)
    if path.is_dir():
        raise InputError(f"{path} is a folder, where the state of a training goes", "remove it, or another --out")
    if path.exists():
        with contextlib.suppress(Exception):
            state = TrainState(**torch.load(path, weights_only=True, map_location="cpu"))
            kinds: dict[str, Any] = {name: type(value) for name, value in vars(fresh).items()}
            kinds["best_score"] = (float, type(None))
            if state.identity == identity and all(isinstance(vars(state)[name], kinds[name]) for name in kinds):
                return state
    return fresh


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Around putting a state back into what it was taken from.

    Raises:
        InputError: It doesn't fit, as no state that this training wrote does.
    """
    try:
        yield
    except (AttributeError, KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        hint = "remove it: the training starts over"
        raise InputError(f"{path} doesn't hold the state of this training: {said}", hint) from error


def put_back(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load copies of a network's own tensors: they are of the versions that its modules have here.

    A mapping without versions would be read as an older release's, which MNASNet refuses.
    """
    state = module.state_dict()
    state.update(tensors)
    module.load_state_dict(state)
