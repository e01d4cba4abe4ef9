"""The stage cache: what a stage's result depends on, and whether a folder holds just that result."""

import functools
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from compressor.export.onnx import write_atomically
from compressor.stage import Stage

DONE = "stage.json"
KEY = "key.txt"


@functools.cache
def code_version() -> str:
    """sha256 over the package's own source files: other code may give another result."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        if "cli" not in path.relative_to(root).parts and path.parent.name != "report_html":
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def stage_key(stage: Stage | None, parent: str, facts: dict[str, Any]) -> str:
    """What a stage's result depends on, as one digest.

    Args:
        stage: Its kind and settings; None for the reference.
        parent: The digest of the form it is handed.
        facts: Data fingerprint, target, seed, teachers, threads: whatever else changes the result.
    """
    settings = None if stage is None else {"kind": stage.kind, **stage.model_dump(mode="json")}
    parts = {"stage": settings, "parent": parent, "code": code_version(), "torch": torch.__version__, **facts}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StageFolder:
    """One stage's folder. It is done once ``stage.json`` is there, which is written last."""

    path: Path
    key: str

    def result(self) -> dict[str, Any] | None:
        """What ``finish`` wrote, if the folder is done and holds the result of this key."""
        try:
            saved: dict[str, Any] = json.loads((self.path / DONE).read_text())
        except (OSError, ValueError):
            return None
        return saved if saved.get("key") == self.key else None

    def begin(self, fresh: bool) -> None:
        """Make the folder ready for work: what an interrupted run of the same key left is kept."""
        (self.path / DONE).unlink(missing_ok=True)
        marker = self.path / KEY
        if fresh or not marker.exists() or marker.read_text() != self.key:
            shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.rglob("*.tmp"):
            leftover.unlink()
        write_atomically(marker, self.key.encode())

    def finish(self, content: dict[str, Any]) -> None:
        """Declare the folder done, and drop the trainings' states, which nothing reads any more."""
        write_atomically(self.path / DONE, json.dumps({"key": self.key, **content}, indent=2).encode())
        for state in self.path.glob("*.ckpt"):
            state.unlink()
