"""What this machine can do, and whether all of it works: versions, processor, extras, and a short run."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from compressor import pipeline
from compressor.data.load import load_data
from compressor.errors import StageError
from compressor.extras import EXTRAS
from compressor.factories import build
from compressor.factories.small_images import DIGITS_NET
from compressor.memory import gigabytes, memory_limit
from compressor.models import ModelInfo, TorchModel
from compressor.pipeline.environment import describe_environment
from compressor.pipeline.job import Job, torch_device
from compressor.profile import load_profile
from compressor.runners import available, int8_saturates
from compressor.target import Goals, Target
from compressor.tasks import make_task
from compressor.training.kernels import has_bf16_kernels

TESTED = ("prune", "quantize", "export")
SETTINGS = ("prune.ratio=0.5", "quantize.measure=false", "quantize.qat=false", "export.prefer='size'")
# Between the answers of an exported file and of the network in torch, of their standard deviation: a network that has
# learned for a second is too unsure for its top class to say much.
MOST_APART = 0.1


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what there is, and what that means where it matters."""

    name: str
    value: str
    said: str = ""


def findings(device: str) -> list[Finding]:
    """All that can be seen without training.

    Args:
        device: ``"auto"`` or a torch device.
    """
    environment = describe_environment(torch_device(device))
    return [*_software(environment), *_processor(environment["cpu"]), *_extras()]


def self_test(device: str) -> tuple[float, str]:
    """Prune, quantize, export and measure a small network on scikit-learn's digits.

    Returns:
        Seconds, and what came out in words.

    Raises:
        CompressError: What doesn't work here, as a run would end with it.
    """
    torch.manual_seed(0)
    start = time.perf_counter()
    profile = load_profile("mobile-cpu", SETTINGS)
    stages = tuple(stage for stage in profile.stages if stage.kind in TESTED)
    profile = replace(profile, stages=stages, budget=Goals())
    model = TorchModel(build(DIGITS_NET), ModelInfo(factory=DIGITS_NET))
    with tempfile.TemporaryDirectory(prefix="compress-doctor-") as folder:
        out = Path(folder) / "run"
        task = make_task("image-classification")
        report = pipeline.run(Job(model, load_data("digits"), profile, task, out, device=device, quick=True))
    parity = report.artifacts[-1].parity or report.stages[-1].parity
    apart = parity.mean_abs_error / parity.logit_std if parity is not None else 0.0
    if apart > MOST_APART:
        raise StageError(
            f"the exported file's answers are {apart:.2f} of their standard deviation from torch's",
            "another version of onnxruntime, and a report of what this printed",
        )
    told = ", ".join(record.kind for record in report.stages[1:])
    return time.perf_counter() - start, f"{told}: {report.ratios.size:.1f}x smaller"


def _software(environment: dict[str, Any]) -> Iterator[Finding]:
    yield Finding("python", environment["python"], environment["platform"])
    for name, version in environment["packages"].items():
        yield Finding(name, version)


def _processor(cpu: dict[str, Any]) -> Iterator[Finding]:
    yield Finding("processor", cpu["model"], " ".join(cpu["features"]))
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("cores", str(count), f"torch uses {torch.get_num_threads()} threads")
    memory = memory_limit()
    if memory is not None:
        yield Finding("memory", gigabytes(memory), "at most, for one process")
    bf16 = has_bf16_kernels("cpu")
    said = "training tries it" if bf16 else "it would be emulated, many times slower: training is in fp32"
    yield Finding("bf16 on the CPU", "yes" if bf16 else "no", said)
    saturates = int8_saturates()
    said = "products overflow in 16 bits: weights get 7 bits here" if saturates else "products are added in 32 bits"
    yield Finding("int8 on the CPU", "without VNNI" if saturates else "yes", said)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    yield Finding("GPU", gpu)
    reason = available(Target(runtime="tensorrt"))
    said = f"{reason}: graphs for it are made and checked, and not timed" if reason else ""
    yield Finding("TensorRT", "no" if reason else "yes", said)


def _extras() -> Iterator[Finding]:
    for extra in dict.fromkeys(EXTRAS.values()):
        lacking = [name for name, place in EXTRAS.items() if place == extra and find_spec(name) is None]
        said = f"{', '.join(lacking)}: pip install 'compressor[{extra}]'" if lacking else ""
        yield Finding(f"extra {extra}", "no" if lacking else "yes", said)
