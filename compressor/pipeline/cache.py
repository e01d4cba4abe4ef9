"""The stage cache: what a stage's result depends on, and whether a folder holds just that result, whole."""

import functools
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from compressor.digests import file_digest, seal
from compressor.errors import InputError
from compressor.reading import as_record, parse_json, read_text
from compressor.report import StageRecord
from compressor.stage import Stage
from compressor.writing import write_atomically

DONE = "stage.json"
KEY = "key.txt"
# What stands in a folder beside its result, and what its reader may have changed.
PASSING, EDITABLE = (".ckpt", ".tmp"), (".py", ".md")


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
        facts: Data fingerprint, target, seed, teachers, threads: whatever else changes the result. ``prefer``, speed or
            size and how much of it, counts for stages that weigh one against the other.
    """
    if stage is None or not stage.weighs_size:
        facts = {name: fact for name, fact in facts.items() if name != "prefer"}
    settings = None if stage is None else {"kind": stage.kind, **stage.model_dump(mode="json")}
    parts = {"stage": settings, "parent": parent, "code": code_version(), "torch": torch.__version__, **facts}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Done(BaseModel):
    """What ``stage.json`` says of a finished stage.

    Args:
        key: What the result depends on.
        content: The digest of the form that the stage gave.
        record: For the report.
        files: The digest of every file of the folder; empty for those that its reader may change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    content: str
    record: StageRecord
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class StageFolder:
    """One stage's folder. It is done once ``stage.json`` is there, which is written last."""

    path: Path
    key: str

    def result(self) -> Done | None:
        """What ``finish`` wrote, if the folder is done, holds the result of this key, and is as it was left."""
        try:
            values = parse_json(read_text(self.path / DONE), dict, DONE, nan=True)
            if values.pop("seal", None) != seal(values):
                return None
            done = as_record(Done, values, DONE)
        except InputError:
            return None
        return done if done.key == self.key and self._holds(done.files) else None

    def begin(self, fresh: bool) -> None:
        """Make the folder ready for work: what an interrupted run of the same key left is kept.

        A folder that was finished is begun again only where it isn't whole any more: nothing of it is kept.

        Raises:
            InputError: It isn't a stage's folder.
        """
        left = list(self.path.iterdir()) if self.path.is_dir() else []
        names = {entry.name for entry in left}
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise InputError(f"{self.path} is in the way of a stage's folder", "remove it, or another --out")
        # A run that was killed while it wrote the key left half of that.
        half = {name for name in names if name.startswith(f"{KEY}.") and name.endswith(".tmp")}
        if names - half and not names & {DONE, KEY}:
            raise InputError(
                f"{self.path} holds {left[0].name}, and nothing says that a stage wrote it: it is left alone",
                "remove the folder if you don't need it, or another --out",
            )
        if left and (fresh or DONE in names or self._marked() != self.key):
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.rglob("*.tmp"):
            leftover.unlink()
        write_atomically(self.path / KEY, self.key.encode())

    def finish(self, record: StageRecord, content: str) -> Done:
        """Declare the folder done, and drop the trainings' states, which nothing reads any more."""
        done = Done(key=self.key, content=content, record=record, files=self._files())
        values = done.model_dump(mode="json")
        write_atomically(self.path / DONE, json.dumps({**values, "seal": seal(values)}, indent=2).encode())
        for state in self.path.glob("*.ckpt"):
            state.unlink()
        return done

    def _marked(self) -> str:
        try:
            return (self.path / KEY).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def _files(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_file() and name not in (DONE, KEY) and path.suffix not in PASSING:
                found[name] = "" if path.suffix in EDITABLE else file_digest(path)
        return found

    def _holds(self, files: dict[str, str]) -> bool:
        try:
            return all(
                (self.path / name).is_file() and digest in ("", file_digest(self.path / name))
                for name, digest in files.items()
            )
        except OSError:
            return False
