"""The files that a quantized network can be shipped as, and which of them is: by time, score and size."""

from typing import Any

import onnx
from torch import nn

from compressor.context import Progress, RunContext
from compressor.copies import copy_of
from compressor.export.dynamic import write_dynamic
from compressor.export.onnx import write_graph
from compressor.export.prefer import needs_int8, verdict, wins
from compressor.measure import p50s, paired_drop, score_form
from compressor.models import OnnxModel, QuantizedModel, TorchForm, TorchModel
from compressor.onnx_files import file_size
from compressor.target import Prefer


class Candidates:
    """The int8 file of a quantized network, its float twin, and, of texts, the dynamically quantized one.

    Args:
        graph: From ``graph_of``.
        model: What it was made of.
        exported: The int8 file.
        ctx: The run's facts.
    """

    def __init__(self, graph: onnx.ModelProto, model: QuantizedModel, exported: OnnxModel, ctx: RunContext) -> None:
        self._graph, self._model, self._exported, self._ctx = graph, model, exported, ctx

    def choose(self, prefer: Prefer, metrics: dict[str, Any], notes: list[str]) -> OnnxModel:
        """Leave the chosen file in the int8 file's place; what was found goes into metrics and notes."""
        ctx, exported = self._ctx, self._exported
        ctx.progress(Progress("export", message="timing int8 against fp32"))
        twin = write_graph(self._graph, self._model, ctx.workdir / "fp32.onnx", keep=())

        def time_both() -> list[float]:
            return p50s([twin.path, exported.path], ctx)

        setting = "export.prefer='size' ships int8 whatever the times"
        fp32_ms, int8_ms = ctx.decisions.settle("latency_of_fp32_and_int8_ms", time_both, setting)
        sizes = {"fp32": file_size(twin.path), "int8": file_size(exported.path)}
        metrics["fp32_latency_ms"], metrics["int8_latency_ms"] = fp32_ms, int8_ms
        metrics["fp32_size_bytes"], metrics["int8_size_bytes"] = sizes["fp32"], sizes["int8"]
        notes.append(verdict(fp32_ms, int8_ms, sizes["fp32"], sizes["int8"]))
        is_gain = wins(int8_ms, fp32_ms) and not self._model.spec.slower
        needed = needs_int8(ctx.budget, sizes["fp32"], sizes["int8"], ctx.reference.module)
        if is_gain or prefer == "size" or needed:
            if not is_gain:
                notes.append(f"int8 ships for its size ({needed or 'export.prefer is size'})")
            twin.path.unlink()
            return exported
        saved = sizes["fp32"] - sizes["int8"]
        twin.path.replace(exported.path)
        notes.append(
            f"the float file ships: int8 would have saved {saved:,} bytes ({saved / sizes['fp32']:.0%}) and no time; "
            "export.prefer='size' ships int8"
        )
        return OnnxModel(exported.path, exported.info, "fp32")

    def try_dynamic(self, metrics: dict[str, Any], notes: list[str]) -> None:
        """Take the dynamically quantized graph for the int8 file where it scores as well and is faster."""
        ctx, exported = self._ctx, self._exported
        ctx.progress(Progress("export", message="trying dynamic quantization"))
        tables = [one.name for one in self._model.spec.quantizers if one.role == "weight" and one.axis == 1]
        source = write_graph(self._graph, self._model, ctx.workdir / "tables.onnx", keep=tables)
        seven_bits = any(quantizer.bits == 7 for quantizer in self._model.spec.quantizers)
        dynamic = write_dynamic(source.path, ctx.workdir / "dynamic.onnx", seven_bits=seven_bits)
        source.path.unlink()
        scores = [score_form(OnnxModel(path, exported.info), ctx, "validation") for path in (exported.path, dynamic)]
        drop, stderr = paired_drop(scores[0], scores[1], ctx.task.higher_is_better)

        def time_both() -> list[float]:
            return p50s([exported.path, dynamic], ctx)

        static_ms, dynamic_ms = ctx.decisions.settle(
            "latency_of_static_and_dynamic_int8_ms", time_both, "export.dynamic=false"
        )
        metrics["dynamic_latency_ms"], metrics["dynamic_validation_score"] = dynamic_ms, scores[1].value
        better = wins(dynamic_ms, static_ms) and drop <= stderr
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


def without_quantizers(model: QuantizedModel) -> TorchForm:
    """The same network and weights in fp32."""
    graph = copy_of(model.module)
    for quantizer in model.spec.quantizers:
        graph.set_submodule(quantizer.name, nn.Identity())
    return TorchModel(graph, model.info)
