"""Where a run's files come from, and the sha256 of each: written when the run ends, checked by ``compress verify``."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from compressor.digests import file_digest, seal
from compressor.errors import InputError
from compressor.reading import as_record, read_json
from compressor.report import Report
from compressor.training.tracking import NAME as TRACKING
from compressor.writing import write_atomically

NAME, VERSION = "lineage.json", 1
# What others put into a run's folder, and what is only there while it is worked on. What trackers keep there grows
# after a run's last file was written, and says nothing that the report doesn't.
NOT_THE_RUNS = ("picked", "tensorboard")
PASSING = (".tmp", ".ckpt")
HINT = "run again: what is damaged is made anew"


class Lineage(BaseModel):
    """What a run was made of and by, and what it left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    model: dict[str, Any] = Field(description="the reference: its source, factory and sha256")
    teachers: list[dict[str, Any]] = Field(default_factory=list, description="source, weight and sha256 of each")
    data: dict[str, Any] = Field(description="source, fingerprint and number of samples of each split")
    profile: dict[str, Any] = Field(description="all settings, with every default filled in")
    seed: int
    command: str
    environment: dict[str, Any] = Field(description="versions, processor, threads, commit")
    files: dict[str, str] = Field(description="sha256 of every file, by its path in the run's folder")


def write_lineage(report: Report, out: Path) -> None:
    """Write ``lineage.json`` of a run that ended, unless it says the same already."""
    known = {field: getattr(report, field) for field in ("model", "teachers", "data", "profile", "seed")}
    facts = Lineage(**known, command=report.command, environment=report.environment, files=_digests(out))
    path = out / NAME
    if path.exists():
        try:
            before = read_lineage(out)
        except InputError:
            before = None
        # Typed otherwise, from cache, it is the same run.
        if before is not None and before.model_copy(update={"command": facts.command}) == facts:
            return
    values = facts.model_dump(mode="json")
    write_atomically(path, json.dumps({**values, "seal": seal(values)}, indent=2).encode())


def read_lineage(out: Path) -> Lineage:
    """What ``write_lineage`` wrote.

    Raises:
        InputError: It isn't there, or isn't what was written.
    """
    path = out / NAME
    values = read_json(path, dict, "a run that ended; compress run writes it")
    if values.pop("seal", None) != seal(values):
        raise InputError(f"{path} is not what the run wrote", HINT)
    return as_record(Lineage, values, str(path), HINT)


def damage(out: Path) -> list[str]:
    """What became of a run's files since it ended, a sentence each; empty where all are as they were.

    Raises:
        InputError: There is no lineage, or it is damaged itself.
    """
    found = []
    for name, digest in read_lineage(out).files.items():
        path = out / name
        if not path.is_file():
            found.append(f"{name} is gone")
        elif file_digest(path) != digest:
            found.append(f"{name} is not what the run wrote")
    return found


def _digests(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): file_digest(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and _is_the_runs(path.relative_to(out)) and path.suffix not in PASSING
    }


def _is_the_runs(path: Path) -> bool:
    # The lock of a search is empty, and there while it is held.
    return path.parts[0] not in NOT_THE_RUNS and path.name not in (NAME, TRACKING, "lock")
