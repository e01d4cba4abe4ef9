"""Everything the report says about one stage, measured on its exported file."""

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compressor.context import Progress, RunContext
from compressor.data import SplitName, fitted
from compressor.export.onnx import export_onnx
from compressor.export.tensorrt import build_engine
from compressor.measure.compute import count_macs, count_params
from compressor.measure.latency import interleaved_latency, timed_inputs
from compressor.measure.parity import parity
from compressor.measure.score import Logits, batch_for, collect_outputs, paired_drop, score_outputs
from compressor.models import EngineModel, Form, ModelInfo, OnnxModel, QuantizedModel, TorchModel
from compressor.onnx_files import file_size
from compressor.reading import parse_json, read_text
from compressor.report import Latency, Parity, StageRecord
from compressor.runners import EngineRunner, OnnxRunner, Runner, TorchRunner, available, runner_for
from compressor.tasks import Score
from compressor.writing import write_atomically

PARITY_SAMPLES = 2000
Artifact = OnnxModel | EngineModel


@dataclass(frozen=True)
class Snapshot:
    """One stage's numbers and what later ones are compared with.

    Args:
        record: For the report; the pipeline fills in kind, seconds and what the stage said.
        outputs: The task's answers on the split in its order.
        artifact: The file that was measured.
    """

    record: StageRecord
    outputs: Logits
    artifact: Artifact

    def save(self, folder: Path) -> None:
        """Write ``snapshot.json`` and ``outputs.npy``; the former last, so that it vouches for both."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "outputs.npy.tmp"
        with partial.open("wb") as file:
            np.save(file, self.outputs)
        partial.replace(folder / "outputs.npy")
        artifact: dict[str, Any] = {
            "path": os.path.relpath(self.artifact.path, folder),
            "info": self.artifact.info.model_dump(mode="json"),
            "precision": self.artifact.precision,
        }
        if isinstance(self.artifact, EngineModel):
            artifact["device"] = self.artifact.device
        saved = {"record": self.record.model_dump(mode="json"), "artifact": artifact}
        write_atomically(folder / "snapshot.json", json.dumps(saved, indent=2).encode())

    @classmethod
    def load(cls, folder: Path) -> "Snapshot":
        """Read what ``save`` wrote into the folder.

        Raises:
            InputError: A file is missing, or isn't what was written.
        """
        path = folder / "snapshot.json"
        saved = parse_json(read_text(path), dict, str(path), nan=True)
        artifact = dict(saved["artifact"])
        artifact["path"] = Path(os.path.normpath(folder / artifact["path"]))
        artifact["info"] = ModelInfo.model_validate(artifact["info"])
        form = EngineModel if "device" in artifact else OnnxModel
        outputs = np.load(folder / "outputs.npy")
        return cls(StageRecord.model_validate(saved["record"]), outputs, form(**artifact))


Reference = Snapshot


def snapshot(
    name: str, model: Form, ctx: RunContext, folder: Path, reference: Reference | None, split: SplitName = "test"
) -> Snapshot:
    """Export a form where it is a torch form, and measure the file.

    Scored in the target's runtime. Where that runtime isn't on this machine, ONNX
    Runtime stands in for the score and its name says so; the latency stays unmeasured, with the reason.

    Args:
        name: The stage's, ``"02-prune"``.
        model: Left untouched.
        ctx: The run's facts.
        folder: Where ``model.onnx`` goes.
        reference: The reference's snapshot of the same split; None while it is being made.
        split: What it is scored on: test for the report, validation for what is chosen by it.
    """
    ctx.progress(Progress("measure", message=f"measuring {name}"))
    ctx = replace(ctx, data=fitted(ctx.data, model.info))
    inputs = ctx.task.example_inputs(ctx.data, max(2, ctx.target.batch_size))
    artifact = _deployed(_exported(model, inputs, ctx, folder), ctx, folder)
    with _scoring_runner(artifact) as runner:
        outputs = collect_outputs(runner, ctx, split, batch_size=batch_for(artifact, ctx))
        runtime = runner.name
    if available(ctx.target) is not None:
        runtime += f" (stands in for {ctx.target.runtime})"
    score = score_outputs(outputs, ctx, split)
    drop, drop_stderr = (None, None) if reference is None else _drop(reference, score, ctx, split)
    params, macs = _compute(model, inputs)
    record = StageRecord(
        name=name,
        kind="",
        seconds=0.0,
        params=params,
        macs=macs,
        size_bytes=file_size(artifact.path),
        score=score.value,
        score_stderr=score.stderr,
        score_runtime=runtime,
        score_drop=drop,
        score_drop_stderr=drop_stderr,
        scores=score.others,
        per_class=score.per_class,
        latency_ms=_latency(artifact, ctx, reference),
        parity=_parity(model, outputs, ctx, split),
        artifact=str(artifact.path),
    )
    return Snapshot(record, outputs, artifact)


def costs_of(model: Form, ctx: RunContext, reference: Reference | None) -> StageRecord:
    """What a form's file costs, and nothing of what it is worth: of networks that nobody trained.

    Args:
        model: Left untouched.
        ctx: The run's facts; the file goes into its folder.
        reference: What its latency is measured beside; None to leave that out.
    """
    inputs = ctx.task.example_inputs(fitted(ctx.data, model.info), max(2, ctx.target.batch_size))
    artifact = _exported(model, inputs, ctx, ctx.workdir)
    params, macs = _compute(model, inputs)
    record = StageRecord(name="", kind="", seconds=0.0, params=params, macs=macs, size_bytes=file_size(artifact.path))
    if reference is None:
        return record
    return record.model_copy(update={"latency_ms": _latency(artifact, ctx, reference)})


def _exported(model: Form, inputs: tuple[Tensor, ...], ctx: RunContext, folder: Path) -> Artifact:
    if isinstance(model, (TorchModel, QuantizedModel)):
        return export_onnx(model, folder / "model.onnx", inputs, opset=ctx.target.opset)
    return model


def _deployed(artifact: Artifact, ctx: RunContext, folder: Path) -> Artifact:
    """The file that the target's runtime runs: an engine where TensorRT is here, the export stage's if it built one."""
    if isinstance(artifact, EngineModel) or ctx.target.runtime != "tensorrt" or available(ctx.target) is not None:
        return artifact
    built = artifact.path.with_suffix(".engine")
    if built.exists() and built.stat().st_mtime >= artifact.path.stat().st_mtime:
        return EngineModel(built, artifact.info, artifact.precision, torch.cuda.get_device_name())
    return build_engine(artifact, folder / "model.engine", ctx.target)


def _scoring_runner(artifact: Artifact) -> Runner:
    if isinstance(artifact, EngineModel):
        return EngineRunner(artifact.path)
    return OnnxRunner(artifact.path, threads=torch.get_num_threads())


def _drop(reference: Reference, score: Score, ctx: RunContext, split: SplitName) -> tuple[float, float]:
    return paired_drop(score_outputs(reference.outputs, ctx, split), score, ctx.task.higher_is_better)


def _compute(model: Form, inputs: tuple[Tensor, ...]) -> tuple[int | None, int | None]:
    if isinstance(model, EngineModel):
        return None, None
    counted = model.path if isinstance(model, OnnxModel) else model.module
    return count_params(counted), count_macs(counted, inputs)


def _latency(artifact: Artifact, ctx: RunContext, reference: Reference | None) -> Latency:
    target = ctx.target
    reason = available(target)
    if reason is not None:
        return Latency(
            p50=None,
            threads=target.threads,
            batch=target.batch_size,
            runtime=target.runtime,
            reason=f"{reason}; on the device: python3 build_engine.py, from the export stage's kit",
        )
    forms = [artifact] if reference is None else [reference.artifact, artifact]
    inputs = [timed_inputs(replace(ctx, data=fitted(ctx.data, form.info))) for form in forms]
    with ExitStack() as stack:
        runners = [stack.enter_context(runner_for(form, target)) for form in forms]
        return interleaved_latency(runners, inputs, threads=target.threads)[-1]


def _parity(model: Form, outputs: Logits, ctx: RunContext, split: SplitName) -> Parity | None:
    if not isinstance(model, (TorchModel, QuantizedModel)):
        return None
    with TorchRunner(model.module) as runner:
        expected = collect_outputs(runner, ctx, split, count=PARITY_SAMPLES)
    return parity(expected, outputs[: len(expected)], answers=ctx.task.answers)
