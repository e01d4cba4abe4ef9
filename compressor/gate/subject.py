"""What is gated, or what it is compared with: a run, its report, a file alone, or a baseline that was written down."""

import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from safetensors import safe_open

from compressor.digests import file_digest
from compressor.errors import InputError
from compressor.faults import shown
from compressor.onnx_files import compute, file_size, read_graph
from compressor.reading import as_record, read_json
from compressor.report import Artifact, Report, StageRecord, report_in, target_of

VERSION = 1
KINDS = "a run's folder, its report.json, a .onnx, .engine or .safetensors file, or a baseline that gate --update wrote"
HINT = "the report.json of a run's folder"
ENGINES = (".engine", ".plan", ".trt")


class Score(BaseModel):
    """A score on the test split, and of how much it fell below the reference's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    value: float
    stderr: float | None = None
    drop: float | None = None
    drop_stderr: float | None = None
    higher_is_better: bool = True
    data: str = Field(default="", description="fingerprint of what it was measured on")


class Called(BaseModel):
    """How a file is called on its target, and what a call took where that was measured, in milliseconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    runtime: str = "onnxruntime"
    threads: int = 1
    batch: int = 1
    p50: float | None = None
    spread: float | None = None


class Subject(BaseModel):
    """A file's figures; those that nobody measured are None, and ``lacking`` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: int = VERSION
    name: str
    size_bytes: int | None = None
    params: int | None = None
    macs: int | None = None
    score: Score | None = None
    called: Called = Called()
    sha256: str = Field(default="", description="of the file")
    file: str = Field(default="", description="the file, relative to what it is told in; empty where it isn't there")
    lacking: dict[str, str] = Field(default_factory=dict, description="why a figure is missing, by the figure")
    failed: str = Field(default="", description="why the run has no result")


def subject_of(path: Path) -> Subject:
    """Read what is known of a run, a report, a file or a baseline; ``file`` is a path from here.

    Raises:
        InputError: It isn't one of these, is damaged, or its file isn't the one that was measured.
    """
    report = report_in(path)
    if report is not None:
        return _of_report(Report.read(report), report)
    if path.suffix == ".json":
        return _of_json(path)
    if path.suffix == ".onnx":
        return _of_graph(path)
    if path.suffix in ENGINES:
        why = "an engine doesn't tell: gate the run that built it"
        return _of_file(path, params=why, macs=why).model_copy(update={"called": Called(runtime="tensorrt")})
    if path.suffix == ".safetensors":
        why = "weights without a network"
        return _of_file(path, latency=why, macs=why).model_copy(update={"params": _values(path)})
    if not path.exists():
        raise InputError(f"no file {path}", f"wanted {KINDS}")
    raise InputError(f"{path} is nothing that can be gated", f"wanted {KINDS}")


def _of_json(path: Path) -> Subject:
    values = read_json(path, dict, f"wanted {KINDS}")
    if "stages" in values:
        return _of_report(as_record(Report, values, str(path), HINT), path)
    if values.get("version", VERSION) != VERSION:
        raise InputError(
            f"{path} has version {shown(values['version'])}, this release reads {VERSION}", "gate --update"
        )
    subject = as_record(Subject, values, str(path), "compress gate RUN --baseline FILE --update writes one")
    return _with_file(subject, path.parent / subject.file if subject.file else None, path)


def _with_file(subject: Subject, file: Path | None, told_in: Path) -> Subject:
    """With the file as a path from here, where it is there and the one that was measured."""
    if file is None or not file.is_file():
        return subject.model_copy(update={"file": ""})
    if subject.sha256 and file_digest(file) != subject.sha256:
        raise InputError(
            f"{file} is not the file that {told_in} tells of: its sha256 is another",
            "run again, or gate the file alone",
        )
    return subject.model_copy(update={"file": str(file)})


def _of_report(report: Report, path: Path) -> Subject:
    if report.status in ("failed", "interrupted") or not report.artifacts:
        notes = "; ".join(report.notes) or "it left no file"
        return Subject(name=str(path), failed=f"the run is {report.status}: {notes}")
    record, artifact, target = report.stages[-1], report.artifacts[-1], target_of(report, path)
    latency = record.latency_ms
    lacking = {"latency": latency.reason} if latency is not None and latency.reason else {}
    called = {
        "runtime": target.runtime,
        "threads": target.threads,
        "batch": target.batch_size,
        "p50": latency and latency.p50,
        "spread": latency and latency.spread,
    }
    subject = Subject(
        name=str(path),
        size_bytes=artifact.size_bytes,
        params=record.params,
        macs=record.macs,
        score=_score(report, record, path),
        called=as_record(Called, called, f"{path}: latency of {record.name}", HINT),
        sha256=artifact.sha256,
        lacking=lacking,
    )
    return _with_file(subject, _inside(path.parent, artifact), path)


def _inside(folder: Path, artifact: Artifact) -> Path:
    file = folder / artifact.path
    if not file.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"the report in {folder} names a file that is not the run's: {artifact.path}", "run again")
    return file


def _score(report: Report, record: StageRecord, path: Path) -> Score | None:
    if record.score is None:
        return None
    values = {
        "name": report.score.name,
        "value": record.score,
        "stderr": record.score_stderr,
        "drop": record.score_drop,
        "drop_stderr": record.score_drop_stderr,
        "higher_is_better": report.score.higher_is_better,
        "data": str(report.data.get("fingerprint", "")),
    }
    return as_record(Score, values, f"{path}: score of {record.name}", HINT)


def _of_file(path: Path, **lacking: str) -> Subject:
    if not path.is_file():
        raise InputError(f"no file {path}", f"wanted {KINDS}")
    unscored = "nobody scored this file: --data SPEC scores it, or gate the run that made it"
    unmeasured = {
        "score": unscored,
        "score_drop": "a file alone has no reference: gate the run that made it",
        **lacking,
    }
    size = file_size(path)
    if not size:
        raise InputError(f"{path} is empty", f"wanted {KINDS}")
    return Subject(name=str(path), size_bytes=size, sha256=file_digest(path), file=str(path), lacking=unmeasured)


def _of_graph(path: Path) -> Subject:
    if not path.is_file():
        raise InputError(f"no file {path}", f"wanted {KINDS}")
    graph = read_graph(path)
    subject = _of_file(path)
    lacking, macs = dict(subject.lacking), None
    shapes = [
        tuple(axis.dim_value if axis.dim_value > 0 else 1 if place == 0 else 0 for place, axis in enumerate(axes))
        for axes in (given.type.tensor_type.shape.dim for given in graph.graph.input)
    ]
    params = compute.params(graph)
    if all(all(shape) for shape in shapes):
        try:
            macs = compute.macs(graph, shapes) // shapes[0][0]
        except Exception as error:
            lacking["macs"] = f"its shapes can't be told: {str(error).splitlines()[0]}"
    else:
        lacking["macs"] = "its inputs' sizes are open: gate the run that made it"
    return subject.model_copy(update={"params": params, "macs": macs, "lacking": lacking})


def _values(path: Path) -> int:
    """How many numbers a safetensors file has, by its header."""
    try:
        with safe_open(path, framework="np") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 -- it is no dict
    except Exception as error:
        raise InputError(f"{path} is not a safetensors file: {error}", "the file as it was saved") from None
