"""One network of the zoo through everything, in this process: `python tools/zoo_row.py NAME FOLDER`."""

import argparse
import copy
import functools
import importlib
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.onnx._internal.exporter._registration import ONNXRegistry
from zoo_networks import CLASSES, Network, image_network, signal_network

from compressor import pipeline
from compressor.data import Data
from compressor.data.batches import TensorSplit
from compressor.data.images import Normalise
from compressor.data.load import load_data
from compressor.errors import CompressError
from compressor.export.onnx import export_onnx
from compressor.export.tensorrt import validate_for_tensorrt
from compressor.loading import load_file, load_form
from compressor.measure import latency
from compressor.models import ModelInfo, QuantizedModel, TorchModel
from compressor.pipeline import Job, estimate, loop
from compressor.pipeline.job import prepared
from compressor.profile import load_profile
from compressor.quantize import measured
from compressor.quantize.stage import Quantize
from compressor.report import Report
from compressor.tasks import make_task

PROFILE = Path(__file__).with_name("zoo.toml")
SAMPLES = {"train": 64, "validation": 16, "test": 32}
# Of the logits' spread: a float file that is further off than this is another network...
FLOAT_ERROR, INT8_ERROR = 1e-3, 0.5
# ... unless torch's own answers move about as far by nothing, see ``_own_error``. A step of int8 is 80 hairs.
OWN_ERROR, HAIR = 3, 1e-4
# Two timings of one file differ by so much on a shared machine.
NOISE = 0.1


def row(name: str, folder: Path) -> dict[str, Any]:
    """What became of a network: a verdict, the reason where it isn't "through", and figures.

    ``refused`` is said by the plan, before any work; ``failed`` is everything that comes after.
    """
    found: dict[str, Any] = {"name": name, "verdict": "failed", "stage": "build"}
    start = time.perf_counter()
    try:
        _through(name, folder, found)
        found["verdict"] = "through"
    except CompressError as error:
        found["verdict"] = "refused" if found["stage"] == "plan" and error.exit_code in (2, 3) else "failed"
        found["reason"] = f"{error.message.splitlines()[0]}"
    except Exception as error:
        found["reason"] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    found["seconds"] = round(time.perf_counter() - start, 1)
    found["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    return found


def hurry() -> None:
    """Timings of a fraction of their length, and torch's table of translations made once: what a row tells stays."""
    once: Any = functools.cache(vars(ONNXRegistry)["from_torchlib"].__func__)
    setattr(ONNXRegistry, "from_torchlib", classmethod(once))  # noqa: B010
    latency.SECONDS, measured.SECONDS_EACH, measured.SECONDS = 0.25, 0.5, 8.0
    estimate.PROBE_SECONDS = 1.0


def _through(name: str, folder: Path, found: dict[str, Any]) -> None:
    job = _job(name, folder)
    found["input"] = list(job.model.info.inputs[0].shape) if job.model.info.inputs else []
    found["stage"] = "plan"
    start = time.perf_counter()
    planned = pipeline.plan(replace(job, model=replace(job.model, module=copy.deepcopy(job.model.module))))
    found["plan_seconds"] = round(time.perf_counter() - start, 1)
    found["planned_seconds"], found["planned_bytes"] = planned.seconds, planned.memory_bytes
    found["stage"] = "run"
    start = time.perf_counter()
    # It was all tried a moment ago.
    vars(loop)["rehearse"] = lambda job, progress: []
    report = pipeline.run(job)
    found["run_seconds"] = round(time.perf_counter() - start, 1)
    found["stage"] = "report"
    _judge(report, job, found)
    found["stage"] = "tensorrt"
    _for_tensorrt(job, folder, found)
    found["stage"] = "reload"
    _reload(folder)


def _job(name: str, folder: Path) -> Job:
    profile = load_profile(str(PROFILE))
    kind = name.partition("/")[0]
    if kind == "transformers":
        return _text_job(name, folder, profile)
    network = signal_network(name) if kind == "signals" else image_network(name)
    data = _noise(network)
    task = make_task("image-classification")
    info = ModelInfo(
        factory=network.factory, task=task.name, inputs=task.input_specs(data), classes=data.classes, source=name
    )
    return Job(TorchModel(network.module, info), data, profile, task, folder)


def _text_job(name: str, folder: Path, profile: Any) -> Job:
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    encoders: Any = importlib.import_module("encoders")
    source = encoders.encoder_folder(folder / "network", name.rpartition("/")[2])
    spec = encoders.sentence_folder(folder / "texts", train=64, test=32)
    model = load_file(source)
    assert isinstance(model, TorchModel)
    task = make_task("text-classification")
    return Job(model, load_data(str(spec), args={"text": "text", "label": "label"}), profile, task, folder / "run")


def _noise(network: Network) -> Data:
    """Pictures or signals of noise, each class with a mean of its own."""
    chance = torch.Generator().manual_seed(0)
    image = len(network.shape) == 3

    def split(count: int) -> TensorSplit:
        labels = torch.arange(count) % CLASSES
        values = torch.rand(count, *network.shape, generator=chance) * 0.7
        values += 0.3 * (labels / CLASSES).reshape(-1, *[1] * len(network.shape))
        return TensorSplit((values * 255).byte() if image else values, labels)

    train, validation, test = (split(count) for count in SAMPLES.values())
    channels = network.shape[0]
    normalise = Normalise((0.5,) * channels, (0.25,) * channels) if image else None
    names = tuple(f"class {number}" for number in range(CLASSES))
    return Data("noise", train, validation, test, names, fingerprint="noise", normalise=normalise)


def _own_error(job: Job, stage: str) -> float:
    """How far torch's own answers move, of their spread: in float64, or of a rounded network by a hair in its inputs.

    Untrained networks blow up the last bit of a sum, and rounding makes a whole step of it.
    """
    model = job.model if stage == "00-reference" else load_form(job.out / stage, trust=True)
    assert isinstance(model, TorchModel | QuantizedModel)
    # Of the samples that the file was compared on: an untrained network may blow up on one of them alone.
    inputs = job.task.call(job.data.batch("test", torch.arange(len(job.data.test))))
    module = model.module.eval()
    with torch.no_grad():
        found = module(*inputs)
        if isinstance(model, QuantizedModel):
            chance = torch.Generator().manual_seed(0)
            moved = module(*(tensor * (1 + HAIR * torch.randn(tensor.shape, generator=chance)) for tensor in inputs))
        else:
            moved = copy.deepcopy(module).double()(*(tensor.double() for tensor in inputs))
        return float((found - moved).abs().mean() / found.std())


def _judge(report: Report, job: Job, found: dict[str, Any]) -> None:
    """Figures of every stage; an error where one isn't what the row promises."""
    by_kind = {stage.kind: stage for stage in report.stages}
    reference, pruned, shipped = by_kind["reference"], by_kind["prune"], by_kind["export"]
    assert reference.macs and pruned.macs
    found["macs"] = round(pruned.macs / reference.macs, 3)
    found["ms"] = {kind: stage.latency_ms.p50 for kind, stage in by_kind.items() if stage.latency_ms}
    found["shipped"] = report.artifacts[0].precision
    found["float_ms"] = shipped.metrics.get("fp32_latency_ms")
    found["int8_ms"] = shipped.metrics.get("int8_latency_ms")
    found["mb"] = {kind: round((stage.size_bytes or 0) / 1e6, 3) for kind, stage in by_kind.items()}
    errors = {kind: s.parity.mean_abs_error / max(s.parity.logit_std, 1e-9) for kind, s in by_kind.items() if s.parity}
    found["error"] = {kind: float(f"{value:.2g}") for kind, value in errors.items()}
    found["stage"] = "prune"
    if pruned.macs >= reference.macs:
        raise ValueError("nothing was pruned")
    found["stage"] = "parity"
    for kind, error in errors.items():
        is_float = kind in ("reference", "prune") or (kind == "export" and found["shipped"] == "fp32")
        limit = FLOAT_ERROR if is_float else INT8_ERROR
        name = by_kind["quantize" if kind == "export" and not is_float else kind].name
        if not error <= limit and not error <= OWN_ERROR * _own_error(job, name):
            raise ValueError(f"the {kind} stage's file is off by {error:.2g} of the logits' spread, wanted {limit:g}")
    found["stage"] = "speed"
    if found["shipped"] == "int8" and found["int8_ms"] > found["float_ms"] * (1 + NOISE):
        raise ValueError(f"ships int8 at {found['int8_ms']:.3f} ms where float takes {found['float_ms']:.3f}")


def _for_tensorrt(job: Job, folder: Path, found: dict[str, Any]) -> None:
    """The pruned network by TensorRT's rules, built by TensorRT-RTX."""
    pruned = load_form(job.out / "01-prune", trust=True)
    assert isinstance(pruned, TorchModel)
    target = job.profile.target.model_copy(update={"runtime": "tensorrt", "opset": 20})
    ready = prepared(replace(job, profile=replace(job.profile, target=target)))
    ctx = ready.context(folder / "tensorrt", (), info=pruned.info)
    quantized = Quantize(qat=False, calibration_batches=1, calibration_batch_size=8).run(pruned, ctx).model
    assert isinstance(quantized, QuantizedModel)
    exported = export_onnx(quantized, folder / "tensorrt.onnx", job.task.example_inputs(ctx.data, 2), opset=20)
    complaints = validate_for_tensorrt(exported.path, target)
    found["tensorrt"] = "builds" if not complaints else complaints[0]
    if complaints:
        raise ValueError(f"TensorRT-RTX refuses the graph: {complaints[0]}")


def _reload(folder: Path) -> None:
    """A fresh process rebuilds what the stages wrote; loading compares with the answers kept beside the weights."""
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); sys.path.append(sys.argv[2])\n"
        "from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from compressor.loading import load_form\n"
        "for place in sorted(Path(sys.argv[1]).rglob('structure.json')): load_form(place.parent, trust=True)\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"a fresh process can't reload it: {done.stderr.strip().splitlines()[-1]}")


def main() -> None:
    """Write ``FOLDER/row.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    typed = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    hurry()
    typed.folder.mkdir(parents=True, exist_ok=True)
    found = row(typed.name, typed.folder)
    (typed.folder / "row.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
