"""The export stage: the file that is shipped, what stands beside it, and the proof that it is the same network."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from compressor.context import Progress, RunContext
from compressor.errors import PlanError, StageError
from compressor.export.artifacts import write_device_kit, write_infer_script
from compressor.export.dynamic import write_dynamic
from compressor.export.lint import lint_tensorrt
from compressor.export.onnx import export_onnx
from compressor.export.tensorrt import build_engine, built_by_rtx
from compressor.export.text_files import write_text_files
from compressor.factories.text_network import is_text_network
from compressor.measure import (
    batch_for,
    collect_outputs,
    file_size,
    interleaved_latency,
    paired_drop,
    parity,
    score_form,
    timed_inputs,
    try_file,
)
from compressor.models import Form, OnnxModel, QuantizedModel, TorchForm, TorchModel
from compressor.report import Parity
from compressor.runners import OnnxRunner, TorchRunner, available, int8_saturates
from compressor.stage import Rehearsal, Stage, StageResult

COMPARED_SAMPLES = 2000
# Two timings of the same file differ by up to this much on a shared machine.
NOISE = 0.1
# Above this share of the logits' spread, other answers are the file's fault and not that of near-ties.
TIE_ERROR = 0.05


class Export(Stage):
    """Write the model as ONNX, prove that it answers as the torch form does, and put beside it what runs it."""

    kind: ClassVar[str] = "export"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel, QuantizedModel)
    produces: ClassVar[type] = OnnxModel

    formats: tuple[Literal["onnx", "tensorrt"], ...] = Field(
        default=("onnx",),
        min_length=1,
        description="'onnx' is always written; 'tensorrt' adds the kit that builds the engine on the device, "
        "and the engine itself where TensorRT and a GPU are here",
    )
    dynamic: bool = Field(
        default=True,
        description="of text networks: also try ranges that are measured at every call, and ship the faster graph "
        "of two that score alike on validation",
    )
    min_agreement: float = Field(
        default=0.98,
        ge=0,
        le=1,
        description="share of inputs whose top class must be the same in the file as in torch (numbers: within 5 % of "
        "their spread; vectors: a cosine of 0.99), else the stage fails; trained networks reach 0.995, so less means a "
        "fault and not rounding",
    )
    keep_fastest: bool = Field(
        default=False,
        description="ship the fp32 graph where int8 is slower here; off, since its file is four times larger, "
        "and the report says it either way",
    )

    def rehearse(self, model: TorchModel | QuantizedModel, ctx: RunContext) -> Rehearsal:
        """Export, load the file and ask it once; for TensorRT see whether the graph keeps its rules."""
        notes = self._check(model, ctx)
        inputs = ctx.task.example_inputs(ctx.data, max(2, ctx.target.batch_size))
        exported = export_onnx(model, ctx.workdir / "model.onnx", inputs, opset=ctx.target.opset)
        notes += try_file(model, exported, inputs)
        if "tensorrt" in self.formats:
            notes += [f"TensorRT: {fault}" for fault in lint_tensorrt(exported.path)[:3]]
            notes += built_by_rtx(exported.path, ctx.target)[1]
        samples = min(COMPARED_SAMPLES, len(ctx.data.test))
        return Rehearsal(exported, notes, trainings=0, forwards=2 * samples)

    def _check(self, model: Form, ctx: RunContext) -> list[str]:
        """Formats and the quantization scheme must fit the target's runtime."""
        runtime = ctx.target.runtime
        if "tensorrt" in self.formats and runtime != "tensorrt":
            raise PlanError(
                f"export: formats has 'tensorrt', but the target's runtime is {runtime}: "
                "a graph quantized for one is refused or slow in the other",
                "--set export.formats=['onnx'], or a profile with target.runtime = 'tensorrt'",
            )
        if isinstance(model, QuantizedModel):
            _check_scheme(model, runtime)
        if runtime == "tensorrt" and "tensorrt" not in self.formats:
            return ["the ONNX file alone: formats = ['onnx', 'tensorrt'] adds the kit that builds the engine"]
        reason = available(ctx.target)
        return [f"no engine here ({reason}); the kit builds it on the device"] if reason else []

    def run(self, model: TorchModel | QuantizedModel, ctx: RunContext) -> StageResult:
        """Export, compare with torch, and write the files beside it."""
        self._check(model, ctx)
        inputs = ctx.task.example_inputs(ctx.data, max(2, ctx.target.batch_size))
        ctx.progress(Progress("export", message="writing model.onnx"))
        exported = export_onnx(model, ctx.workdir / "model.onnx", inputs, opset=ctx.target.opset)
        metrics: dict[str, Any] = {}
        notes: list[str] = []
        if isinstance(model, QuantizedModel):
            exported = self._compare_with_float(model, exported, inputs, ctx, metrics, notes)
        shipped = _shipped(model, exported)
        metrics["parity"] = self._prove(shipped, exported, ctx).model_dump()
        metrics["size_bytes"] = file_size(exported.path)
        write_infer_script(exported)
        if is_text_network(model.info.factory):
            notes += write_text_files(model, exported)
        if "tensorrt" in self.formats:
            self._for_tensorrt(exported, ctx, metrics, notes)
        return StageResult(exported, metrics, notes)

    def _prove(self, model: TorchForm, exported: OnnxModel, ctx: RunContext) -> Parity:
        """Compare answers on real inputs, whose labels aren't looked at."""
        ctx.progress(Progress("export", message="comparing the file's answers with torch's"))
        with TorchRunner(model.module) as runner:
            expected = collect_outputs(runner, ctx, batch_size=batch_for(model, ctx), count=COMPARED_SAMPLES)
        with OnnxRunner(exported.path) as runner_of_file:
            found = collect_outputs(runner_of_file, ctx, batch_size=batch_for(exported, ctx), count=COMPARED_SAMPLES)
        # Whole batches, of sizes that may differ.
        expected, found = expected[: len(found)], found[: len(expected)]
        if not np.isfinite(found).all():
            raise StageError(
                f"{exported.path} gives values that are not finite where torch's are",
                "if target.precision is fp16, activations overflow: try precision = 'fp32'",
            )
        compared = parity(expected, found, answers=ctx.task.answers)
        if compared.agreement < self.min_agreement and compared.mean_abs_error > TIE_ERROR * compared.logit_std:
            what = "its top class is torch's" if ctx.task.answers == "classes" else "its answer is near torch's"
            raise StageError(
                f"{exported.path} is not the network it was made of: {what} for "
                f"{compared.agreement:.1%} of {compared.samples} inputs, wanted {self.min_agreement:.1%} "
                f"(mean difference {compared.mean_abs_error:.3g}, logits spread {compared.logit_std:.3g})"
                f"{_why(model)}",
                "compress measure the file; --set export.min_agreement=... if this is known and accepted",
            )
        return compared

    def _compare_with_float(
        self,
        model: QuantizedModel,
        exported: OnnxModel,
        inputs: tuple[Tensor, ...],
        ctx: RunContext,
        metrics: dict[str, Any],
        notes: list[str],
    ) -> OnnxModel:
        """Time int8 against the same network in fp32: on some hardware int8 is slower, and must say so."""
        if ctx.target.runtime != "onnxruntime":
            notes.append(f"int8 against fp32 is not timed here: {available(ctx.target) or 'see the engine'}")
            return exported
        ctx.progress(Progress("export", message="timing int8 against fp32"))
        twin = export_onnx(_without_quantizers(model), ctx.workdir / "fp32.onnx", inputs, opset=ctx.target.opset)

        def time_both() -> list[float]:
            return _p50s([twin.path, exported.path], ctx)

        fp32_ms, int8_ms = ctx.decisions.settle("latency_of_fp32_and_int8_ms", time_both, "export.keep_fastest=false")
        metrics["fp32_latency_ms"], metrics["int8_latency_ms"] = fp32_ms, int8_ms
        notes.append(_verdict(fp32_ms, int8_ms))
        if self.keep_fastest and int8_ms > fp32_ms * (1 + NOISE):
            twin.path.replace(exported.path)
            notes.append("the file holds the fp32 graph: keep_fastest is set")
            return OnnxModel(exported.path, exported.info, "fp32")
        twin.path.unlink()
        if self.dynamic and is_text_network(model.info.factory):
            if any(quantizer.bits == 4 for quantizer in model.spec.quantizers):
                notes.append("dynamic int8 was not tried: its weights have 8 bits in the file, these have 4")
            else:
                self._try_dynamic(model, exported, inputs, ctx, metrics, notes)
        return exported

    def _try_dynamic(
        self,
        model: QuantizedModel,
        exported: OnnxModel,
        inputs: tuple[Tensor, ...],
        ctx: RunContext,
        metrics: dict[str, Any],
        notes: list[str],
    ) -> None:
        """Ship the dynamically quantized graph where it scores as well on validation and is faster."""
        ctx.progress(Progress("export", message="trying dynamic quantization"))
        source = export_onnx(
            _without_quantizers(model, tables=True), ctx.workdir / "tables.onnx", inputs, opset=ctx.target.opset
        )
        seven_bits = any(quantizer.bits == 7 for quantizer in model.spec.quantizers)
        dynamic = write_dynamic(source.path, ctx.workdir / "dynamic.onnx", seven_bits=seven_bits)
        source.path.unlink()
        scores = [score_form(OnnxModel(path, exported.info), ctx, "validation") for path in (exported.path, dynamic)]
        drop, stderr = paired_drop(scores[0], scores[1], ctx.task.higher_is_better)

        def time_both() -> list[float]:
            return _p50s([exported.path, dynamic], ctx)

        static_ms, dynamic_ms = ctx.decisions.settle(
            "latency_of_static_and_dynamic_int8_ms", time_both, "export.dynamic=false"
        )
        metrics["dynamic_latency_ms"], metrics["dynamic_validation_score"] = dynamic_ms, scores[1].value
        better = dynamic_ms * (1 + NOISE) < static_ms and drop <= stderr
        figures = (
            f"p50 {dynamic_ms:.3f} against {static_ms:.3f} ms, on validation {scores[1].value:.4f} against "
            f"{scores[0].value:.4f}, {file_size(dynamic) / 1e6:.2f} MB"
        )
        notes.append(f"{'dynamic' if better else 'static'} int8 was kept; dynamic against static: {figures}")
        metrics["int8"] = "dynamic" if better else "static"
        if better:
            dynamic.replace(exported.path)
        else:
            dynamic.unlink()

    def _for_tensorrt(self, exported: OnnxModel, ctx: RunContext, metrics: dict[str, Any], notes: list[str]) -> None:
        target = ctx.target
        if exported.info.tokenizer is not None:
            # No further than the network has positions.
            longest = min(target.max_length, exported.info.tokenizer.max_length)
            target = target.model_copy(update={"max_length": longest, "length": min(target.length, longest)})
        write_device_kit(exported, target)
        built, said = built_by_rtx(exported.path, target)
        notes += said
        if built is not None:
            metrics["builds_in_tensorrt_rtx"] = built
        reason = available(ctx.target)
        if reason is not None:
            notes.append(f"no engine here ({reason}); on the device: python3 build_engine.py in this folder")
            return
        ctx.progress(Progress("export", message="building the engine"))
        engine = build_engine(exported, exported.path.with_name("model.engine"), target)
        metrics["engine"] = engine.path.name
        notes.append(f"model.engine runs on {engine.device} with this TensorRT alone")


def _check_scheme(model: QuantizedModel, runtime: str) -> None:
    wanted = {"onnxruntime": "onnxruntime-cpu", "tensorrt": "tensorrt"}[runtime]
    if model.spec.scheme != wanted:
        raise PlanError(
            f"export: the graph is quantized by the rules for {model.spec.scheme}, the target's runtime is {runtime}",
            "run the quantize stage again with this profile",
        )


def _shipped(model: TorchForm, exported: OnnxModel) -> TorchForm:
    """The torch form of what the file holds."""
    if isinstance(model, QuantizedModel) and exported.precision == "fp32":
        return _without_quantizers(model)
    return model


def _without_quantizers(model: QuantizedModel, tables: bool = False) -> TorchForm:
    """The same network and weights in fp32; with ``tables`` embeddings stay integers."""
    graph = copy.deepcopy(model.module)
    kept = tuple(one for one in model.spec.quantizers if tables and one.role == "weight" and one.axis == 1)
    for quantizer in model.spec.quantizers:
        if quantizer not in kept:
            graph.set_submodule(quantizer.name, nn.Identity())
    if not kept:
        return TorchModel(graph, model.info)
    return replace(model, module=graph, spec=model.spec.model_copy(update={"quantizers": kept}))


def _p50s(paths: list[Path], ctx: RunContext) -> list[float]:
    threads, inputs = ctx.target.threads, timed_inputs(ctx)
    with OnnxRunner(paths[0], threads) as first, OnnxRunner(paths[1], threads) as second:
        timed = interleaved_latency([first, second], [inputs, inputs], threads=threads)
    return [latency.p50 for latency in timed if latency.p50 is not None]


def _verdict(fp32_ms: float, int8_ms: float) -> str:
    figures = f"p50 {int8_ms:.3f} against {fp32_ms:.3f} ms"
    if int8_ms > fp32_ms * (1 + NOISE):
        return (
            f"int8 is SLOWER than the same network in fp32 on this machine, {int8_ms / fp32_ms:.2f} times "
            f"({figures}): its size is the only gain; export.keep_fastest=true ships fp32"
        )
    if int8_ms > fp32_ms / (1 + NOISE):
        return f"int8 is as fast as the same network in fp32 on this machine, within {NOISE:.0%} ({figures})"
    return f"int8 is {fp32_ms / int8_ms:.2f} times faster than the same network in fp32 on this machine ({figures})"


def _why(model: TorchForm) -> str:
    """What may make an int8 file answer otherwise on this very CPU; empty where nothing does."""
    # TensorRT's graph is compared in float.
    if not isinstance(model, QuantizedModel) or model.spec.scheme != "onnxruntime-cpu" or not int8_saturates():
        return ""
    return (
        "; this CPU has no VNNI, and ONNX Runtime's products of all 8 bits overflow on it: "
        "--set quantize.weight_bits=7, or run compress on a CPU like the target's"
    )
