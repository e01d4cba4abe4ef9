"""The state of a training after each epoch, so that a killed one goes on with equal bits."""

import contextlib
import errno
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compressor.errors import DiskFullError


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
    """
    if path.exists():
        with contextlib.suppress(Exception):
            content = torch.load(path, weights_only=True, map_location="cpu")
            if content["identity"] == identity:
                return TrainState(**content)
    return TrainState(identity)


def put_back(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load copies of a network's own tensors: they are of the versions that its modules have here.

    A mapping without versions would be read as an older release's, which MNASNet refuses.
    """
    state = module.state_dict()
    state.update(tensors)
    module.load_state_dict(state)
