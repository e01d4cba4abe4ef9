"""sha256 of files, of networks and of what a JSON object says: what results are known by."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def module_digest(module: "torch.nn.Module") -> str:
    """sha256 over a module's tensors, names and shapes."""
    import torch

    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def seal(values: dict[str, Any]) -> str:
    """The digest of what a JSON object says, by which it is known that it still says what was written."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
