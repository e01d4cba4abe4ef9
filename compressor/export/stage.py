"""The export stage: the file that is shipped, what stands beside it, and the proof that it is the same network."""

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from compressor.context import Progress, RunContext
from compressor.errors import PlanError, StageError
from compressor.export.artifacts import write_device_kit, write_infer_script
from compressor.export.candidates import Candidates, without_quantizers
from compressor.export.lint import lint_tensorrt
from compressor.export.onnx import MERGED, export_onnx, graph_of, read_metadata, write_graph
from compressor.export.tensorrt import build_engine, built_by_rtx
from compressor.export.text_files import write_text_files
from compressor.factories.text_network import is_text_network
from compressor.measure import batch_for, collect_outputs, parity, try_file
from compressor.models import Form, OnnxModel, QuantizedModel, TorchForm, TorchModel
from compressor.onnx_files import file_size
from compressor.report import Parity
from compressor.runners import OnnxRunner, TorchRunner, available, int8_saturates
from compressor.stage import Rehearsal, Stage, StageResult
from compressor.target import Prefer

COMPARED_SAMPLES = 2000
# Above this share of the logits' spread, other answers are the file's fault and not that of near-ties.
TIE_ERROR = 0.05


class Export(Stage):
    """Write the model as ONNX, prove that it answers as the torch form does, and put beside it what runs it."""

    kind: ClassVar[str] = "export"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel, QuantizedModel)
    produces: ClassVar[type] = OnnxModel
    weighs_size: ClassVar[bool] = True

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
    prefer: Prefer = Field(
        default="speed",
        description="'speed' ships the float file where int8 is not faster here, unless a budget of size needs int8; "
        "'size' ships int8 in any case, about a quarter of the bytes. The report has the figures of both",
    )

    def rehearse(self, model: TorchModel | QuantizedModel, ctx: RunContext) -> Rehearsal:
        """Export, load the file and ask it once; for TensorRT see whether the graph keeps its rules."""
        notes = self._check(model, ctx)
        inputs = ctx.task.example_inputs(ctx.data, max(2, ctx.target.batch_size))
        exported = export_onnx(model, ctx.workdir / "model.onnx", inputs, opset=ctx.target.opset)
        notes += [*_merged(model, exported), *try_file(model, exported, inputs)]
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
        graph = graph_of(model, inputs, opset=ctx.target.opset)
        exported = write_graph(graph, model, ctx.workdir / "model.onnx")
        metrics: dict[str, Any] = {}
        notes = _merged(model, exported)
        if isinstance(model, QuantizedModel):
            if ctx.target.runtime == "onnxruntime":
                exported = self._chosen(model, Candidates(graph, model, exported, ctx), metrics, notes)
            else:
                notes.append(f"int8 against fp32 is not timed here: {available(ctx.target) or 'see the engine'}")
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

    def _chosen(
        self, model: QuantizedModel, candidates: Candidates, metrics: dict[str, Any], notes: list[str]
    ) -> OnnxModel:
        """The file to ship: int8 where it is faster than the same network in fp32, or where size counts."""
        if self.dynamic and is_text_network(model.info.factory):
            if any(quantizer.bits == 4 for quantizer in model.spec.quantizers):
                notes.append("dynamic int8 was not tried: its weights have 8 bits in the file, these have 4")
            else:
                candidates.try_dynamic(metrics, notes)
        return candidates.choose(self.prefer, metrics, notes)

    def _for_tensorrt(self, exported: OnnxModel, ctx: RunContext, metrics: dict[str, Any], notes: list[str]) -> None:
        target = ctx.target
        most = ctx.task.modality.longest(exported.info)
        if most is not None:
            # No further than the network has positions.
            longest = min(target.max_length, most)
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


def _merged(model: TorchForm, exported: OnnxModel) -> list[str]:
    """Which branches became one on the way into the file; of a quantized graph its own stage has said so."""
    said = "" if isinstance(model, QuantizedModel) else read_metadata(exported.path).get(MERGED, "")
    return [said] if said else []


def _shipped(model: TorchForm, exported: OnnxModel) -> TorchForm:
    """The torch form of what the file holds."""
    if isinstance(model, QuantizedModel) and exported.precision == "fp32":
        return without_quantizers(model)
    return model


def _why(model: TorchForm) -> str:
    """What may make an int8 file answer otherwise on this very CPU; empty where nothing does."""
    # TensorRT's graph is compared in float.
    if not isinstance(model, QuantizedModel) or model.spec.scheme != "onnxruntime-cpu" or not int8_saturates():
        return ""
    if all(one.bits < 8 for one in model.spec.quantizers if one.role == "weight"):
        return ""
    return (
        "; this CPU has no VNNI, and ONNX Runtime's products of all 8 bits overflow on it: "
        "--set quantize.weight_bits=7, or run compress on a CPU like the target's"
    )
