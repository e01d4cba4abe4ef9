"""All rules over one file, the dearest finding first."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from compressor.errors import InputError, ModelFileError
from compressor.explain.costs import Costs, costs_of, example_inputs
from compressor.explain.file_rules import beside_weights, float_storage, repeated_tensors, unused_tensors
from compressor.explain.finding import Finding
from compressor.explain.integer_rules import by_operator, float_islands, float_layers, requantized, slow_integers
from compressor.explain.tensorrt_rules import tensorrt_findings
from compressor.explain.time_rules import call_overhead, memory_bound, odd_channels, unfolded_norms
from compressor.export.onnx import read_metadata
from compressor.onnx_files import file_size
from compressor.report import Report
from compressor.runners import Arrays
from compressor.target import Target

RULES: tuple[Callable[[Costs], list[Finding]], ...] = (
    float_islands,
    requantized,
    float_layers,
    slow_integers,
    unfolded_norms,
    memory_bound,
    call_overhead,
    repeated_tensors,
    float_storage,
    unused_tensors,
    beside_weights,
)
# What ONNX Runtime's convolutions on a CPU take together.
BLOCK = 8
# Stages whose notes say what stayed as it was, and why.
EXPLAINING = ("prune", "quantize", "export")


class Operator(BaseModel):
    """All nodes of one kind."""

    model_config = ConfigDict(frozen=True)

    operator: str
    count: int
    milliseconds: float
    macs: int


class Explanation(BaseModel):
    """Where a file's time and bytes go, and what of them need not.

    ``operators`` is ONNX Runtime's own profile; ``call_milliseconds`` was measured from outside, so that what
    is between the nodes shows.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    size_bytes: int
    runtime: str
    call_milliseconds: float | None
    operators: tuple[Operator, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


def explain_onnx(path: Path, target: Target, inputs: Sequence[Arrays] | None = None) -> Explanation:
    """Run a file, and say what of its time and bytes has a cause that can go.

    Args:
        path: An ONNX file.
        target: Its runtime chooses the rules. TensorRT's are read from the graph, nothing is timed.
        inputs: What to call it with in turn; noise of the shapes it declares where None.

    Raises:
        ModelFileError: The file can't be run.
    """
    size = file_size(path)
    if target.runtime == "tensorrt":
        found = tensorrt_findings(path, target)
        notes = ("by TensorRT's rules alone: its times are measured on the device",)
        return Explanation(
            file=str(path), size_bytes=size, runtime="tensorrt", call_milliseconds=None, operators=(),
            findings=tuple(found), notes=notes,
        )  # fmt: skip
    costs = costs_of(path, inputs or [example_inputs(path, target.batch_size)], target.threads)
    found = [finding for rule in RULES for finding in rule(costs)]
    found += odd_channels(costs, max(BLOCK, target.channel_multiple))
    found.sort(key=lambda finding: (-(finding.milliseconds or 0), -(finding.size_bytes or 0)))
    return Explanation(
        file=str(path),
        size_bytes=size,
        runtime="onnxruntime",
        call_milliseconds=costs.call_milliseconds,
        operators=tuple(
            Operator(operator=kind, count=count, milliseconds=spent, macs=macs)
            for kind, count, spent, macs in by_operator(costs)
        ),
        findings=tuple(found),
    )


def explain_path(path: Path, changed: Mapping[str, object]) -> Explanation:
    """The same for what a user names: an ONNX file, a stage's folder, or a run, whose last artifact it is.

    Args:
        path: A file or a folder.
        changed: Settings of the target that were typed; the others are the run's, or follow from the file.

    Raises:
        InputError: There is no ONNX file to explain.
        ModelFileError: The file can't be run.
    """
    notes: tuple[str, ...] = ()
    settings: dict[str, object] = {}
    file = path
    if path.is_dir() and (path / "report.json").exists():
        report = Report.read(path / "report.json")
        if not report.artifacts:
            raise InputError(f"{path}: the run is {report.status} and has no artifact", "compress run, to its end")
        file = path / report.artifacts[-1].path
        settings = dict(report.profile.get("target", {}))
        notes = tuple(f"{s.name}: {note}" for s in report.stages if s.kind in EXPLAINING for note in s.notes)
    elif path.is_dir():
        file = path / "model.onnx"
    if file.suffix == ".engine":
        file = file.with_name("model.onnx")
    if file.suffix != ".onnx" or not file.is_file():
        raise InputError(
            f"{path}: wanted an ONNX file, a stage's folder or a run's folder, which holds report.json",
            "compress run --profile mobile-cpu MODEL, then compress explain on its folder",
        )
    if "runtime" not in settings:
        settings["runtime"] = "tensorrt" if _scheme(file) == "tensorrt" else "onnxruntime"
    found = explain_onnx(file, Target.model_validate({**settings, **changed}))
    return found.model_copy(update={"notes": (*found.notes, *notes)})


def _scheme(path: Path) -> str:
    try:
        return read_metadata(path).get("scheme", "")
    except Exception as error:  # protobuf's own, which it doesn't share a base for
        raise ModelFileError(f"{path} is not an ONNX file: {error}", "write or fetch it again") from None
