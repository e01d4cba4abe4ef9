"""The quantize stage: calibrate, score, train with rounding, and keep whichever is better on validation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, fx, nn

from compressor.context import Progress, RunContext
from compressor.copies import copy_of
from compressor.distill import KdSettings, describe, recover
from compressor.errors import PlanError
from compressor.graphs import merged_branches
from compressor.models import Activations, QuantizationSpec, QuantizedModel, TorchModel, WeightBits
from compressor.quantize.calibration import Batches, calibrate
from compressor.quantize.insertion import SWAPPED, captured, insert_quantizers
from compressor.quantize.measured import SLOWER, measure_placement
from compressor.quantize.observers import Calibration
from compressor.quantize.operators import layer_name
from compressor.quantize.placement import place
from compressor.runners import int8_saturates
from compressor.stage import Rehearsal, Stage, StageResult
from compressor.structure import manifest_of
from compressor.target import Target
from compressor.training import TrainSettings, evaluate
from compressor.training.layout import layout_of

EXAMPLES = 4


class Quantize(Stage):
    """Round weights and activations to 8 bits, and train the network to answer well all the same."""

    kind: ClassVar[str] = "quantize"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel,)
    produces: ClassVar[type] = QuantizedModel
    weighs_size: ClassVar[bool] = True

    calibration: Calibration = Field(
        default="minmax",
        description="how ranges are found: 'minmax' takes the mean over batches of their extremes, 'percentile' "
        "leaves outliers out, 'entropy' loses the least information (KL divergence)",
    )
    calibration_batches: int = Field(default=8, ge=1, description="batches of the training split that are measured")
    calibration_batch_size: int = Field(default=64, ge=1, description="samples in each of them")
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="share of values inside the range on each side, in percent"
    )
    qat: bool = Field(
        default=True, description="train with rounding after calibration; off leaves it at calibration (PTQ)"
    )
    observer_epochs: int = Field(
        default=1,
        ge=0,
        description="after each of the first epochs the ranges are measured again, since the weights have moved; "
        "then they are frozen",
    )
    train: TrainSettings = Field(
        default=TrainSettings(epochs=2, lr=2e-4, schedule="cosine", weight_decay=0.0),
        description="training with rounding: short and gentle, since the network is trained already",
    )
    kd: KdSettings = Field(default=KdSettings(), description="distillation from the run's teachers meanwhile")
    weight_bits: Literal["auto", 4, 7, 8] = Field(
        default="auto",
        description="of a weight: 'auto' is 8, and 7 where this CPU's sums of products of 8 overflow (x86 without "
        "VNNI); 4 halves the file once more and costs accuracy, which training wins back in part: ONNX Runtime makes "
        "int8 of it when it loads the file, so that the time is the same. 4 needs opset 21",
    )
    four_bits: tuple[str, ...] = Field(
        default=(),
        description="layers whose weights have 4 bits, by name, whatever the others have; 'layer4.*' matches all that "
        "starts so. A search for the smallest file chooses them itself",
    )
    measure: bool = Field(
        default=True,
        description="for ONNX Runtime: layers that int8 makes slower on this machine stay in float, and a network that "
        "it makes no faster isn't trained with rounding; found by timing, in 20 seconds at most. Off, the rules alone "
        "decide, as they do where export.prefer is 'size' or a budget of size needs int8",
    )
    activations: Activations = Field(
        default="keep",
        description="'relu' puts ReLU in the place of HardSwish, SiLU and Mish, which integers gain nothing by; the "
        "training with rounding has to win back what that costs, so give it epochs",
    )
    skip: tuple[str, ...] = Field(
        default=(), description="layers to leave in float, by name; 'layer4.*' matches all that starts so"
    )

    @model_validator(mode="after")
    def _swaps_are_trained(self) -> "Quantize":
        if self.activations != "keep" and not self.qat:
            raise ValueError("activations = 'relu' changes the answers: they must be trained, qat = true")
        return self

    def rehearse(self, model: TorchModel, ctx: RunContext) -> Rehearsal:
        """Capture the graph, place quantizers by the rules, and measure their ranges on a few samples."""
        structure = manifest_of(model.module)
        bits = bits_here(ctx.target) if self.weight_bits == "auto" else self.weight_bits
        graph, spec = self._placed(model.module, ctx, bits)
        layers = {
            layer_name(node): f"int8, weights of {quantizer.bits} bits"
            for node in graph.graph.nodes
            for quantizer in spec.quantizers
            if quantizer.role == "weight" and quantizer.node == node.name
        }
        layers |= {name: f"float: {reason}" for name, reason in spec.float_layers.items()}
        insert_quantizers(graph, spec)
        calibrate(graph, [ctx.task.example_inputs(ctx.data, EXAMPLES)], "minmax")
        terms = describe(graph, ctx, self.kd) if self.qat else []
        said = [f"{_integer_layers(spec)} layers in int8 by the rules for {spec.scheme}", *_notes_of(spec)]
        said += _notes_of_graph(graph)
        if self._is_timed(ctx):
            said.append(
                "which of them stay in int8 is decided by timing in the run: none that are slower than in float"
            )
        calibrated = self.calibration_batches * self.calibration_batch_size
        return Rehearsal(
            QuantizedModel(graph, model.info, spec, structure, model.builder),
            [*said, *_notes_of_bits(spec), *terms],
            layers,
            trainings=int(self.qat),
            forwards=(self.train.epochs + 2) * len(ctx.data.validation)
            + (1 + self.qat * min(self.observer_epochs, self.train.epochs - 1)) * calibrated,
        )

    def run(self, model: TorchModel, ctx: RunContext) -> StageResult:
        """Calibrate, score; train, score; keep the better."""
        structure = manifest_of(model.module)
        higher = ctx.task.higher_is_better
        before = evaluate(model.module.to(ctx.device), ctx).value
        metrics: dict[str, Any] = {"validation_before": before}
        graph, spec, timed = self._quantized(model, ctx, metrics)
        ctx.progress(Progress("quantize", message="scoring the calibrated network"))
        ptq_score = evaluate(graph, ctx).value
        metrics |= {"scheme": spec.scheme, "int8_layers": _integer_layers(spec), "ptq_score": ptq_score}
        notes = [*_notes_of_graph(graph), *_notes_of(spec), *_notes_of_bits(spec), *timed]
        if self.qat and (not spec.slower or self.activations != "keep"):
            trained = copy_of(graph)
            result = recover(
                trained, ctx, self.train, self.kd, name="qat", before_epoch=self._recalibrate(trained, ctx)
            )
            metrics["qat_score"] = result.score
            metrics["qat_precision"] = result.precision
            metrics["history"] = result.history
            is_better = result.score > ptq_score if higher else result.score < ptq_score
            graph = trained if is_better else graph
            metrics["kept"] = "qat" if is_better else "ptq"
            notes.append(
                f"kept {metrics['kept'].upper()}: on validation PTQ scores {ptq_score:.4f}, QAT {result.score:.4f}"
            )
            # Without training new activations answer anything: no control of rounding.
            if ctx.control and self.activations == "keep":
                metrics["ptq_after_same_epochs"] = self._control(model, ctx)
        else:
            metrics["kept"] = "ptq"
            if self.qat:
                notes.append(
                    "not trained with rounding, since int8 would not ship: export.prefer='size' trains and ships it"
                )
        graph.eval().cpu()
        return StageResult(QuantizedModel(graph, model.info, spec, structure, model.builder), metrics, notes)

    def _placed(self, module: nn.Module, ctx: RunContext, bits: WeightBits) -> tuple[fx.GraphModule, QuantizationSpec]:
        """The captured graph and where quantizers go in it, on the CPU."""
        if ctx.target.precision != "int8":
            raise PlanError(
                f"quantize: the target's precision is {ctx.target.precision}: it runs int8 no faster",
                "--set target.precision=int8, or leave the quantize stage out",
            )
        longest = ctx.task.modality.longest(ctx.data)
        inputs = ctx.task.example_inputs(ctx.data, EXAMPLES)
        graph = captured(copy_of(module).cpu(), inputs, longest, self.activations)
        spec = self._place(graph, ctx, bits)
        if not _integer_layers(spec):
            raise PlanError(
                "quantize: no layer can be computed in integers: " + ("; ".join(_notes_of(spec)) or "none has weights"),
                "--without quantize, or another quantize.skip",
            )
        return graph, spec

    def _place(
        self, graph: fx.GraphModule, ctx: RunContext, bits: WeightBits, measured: Mapping[str, str] | None = None
    ) -> QuantizationSpec:
        spec = place(graph, ctx.target, self.skip, bits, measured, self.four_bits)
        return spec.model_copy(update={"activations": self.activations})

    def _quantized(
        self, given: TorchModel, ctx: RunContext, metrics: dict[str, Any]
    ) -> tuple[fx.GraphModule, QuantizationSpec, list[str]]:
        """A calibrated graph of the module on the run's device, with what a clock said of it."""
        ctx.progress(Progress("quantize", message="capturing the graph and measuring ranges"))
        if self.weight_bits == "auto":
            # Another CPU would decide otherwise, so a resumed run reads it.
            bits = ctx.decisions.settle("weight_bits", lambda: bits_here(ctx.target), setting="quantize.weight_bits")
        else:
            bits = self.weight_bits
        bare, spec = self._placed(given.module, ctx, bits)
        if not self._is_timed(ctx):
            untimed = [] if ctx.target.runtime == "onnxruntime" else ["int8 is timed on the device, not here"]
            return self._with_ranges(bare, spec, ctx), spec, untimed
        graph = self._with_ranges(copy_of(bare), spec, ctx)

        def again(measured: Mapping[str, str]) -> QuantizationSpec:
            return self._place(bare, ctx, bits, measured)

        def by_the_clock() -> dict[str, Any]:
            model = QuantizedModel(graph, given.info, spec, {})
            return measure_placement(model, again, ctx)

        found = ctx.decisions.settle("int8_against_float", by_the_clock, setting="quantize.measure=false")
        metrics.update({f"{key.removesuffix('_ms')}_latency_ms": found[key] for key in found if key.endswith("_ms")})
        if found["in_float"]:
            spec = again(found["in_float"])
            graph = self._with_ranges(bare, spec, ctx)
        return graph, spec.model_copy(update={"slower": found["slower"]}), found["notes"]

    def _is_timed(self, ctx: RunContext) -> bool:
        return self.measure and ctx.prefer == "speed" and ctx.target.runtime == "onnxruntime"

    def _with_ranges(self, graph: fx.GraphModule, spec: QuantizationSpec, ctx: RunContext) -> fx.GraphModule:
        insert_quantizers(graph, spec).to(ctx.device)
        self._calibrate(graph, ctx)
        return graph

    def _calibrate(self, graph: fx.GraphModule, ctx: RunContext) -> None:
        calibrate(graph, self._batches(graph, ctx), self.calibration, self.percentile)

    def _batches(self, graph: fx.GraphModule, ctx: RunContext) -> Batches:
        """The first batches of the training split in the order of epoch 0, not augmented."""
        layout = layout_of(graph)
        batches: list[tuple[Tensor, ...]] = []
        for batch in ctx.data.training_batches(self.calibration_batch_size, ctx.seed, epoch=0):
            batches.append(ctx.task.inputs(layout.move(batch, ctx.device)))
            if len(batches) == self.calibration_batches:
                break
        return batches

    def _recalibrate(self, graph: fx.GraphModule, ctx: RunContext) -> Any:
        def before_epoch(epoch: int) -> None:
            if 1 <= epoch <= self.observer_epochs:
                self._calibrate(graph, ctx)

        return before_epoch

    def _control(self, given: TorchModel, ctx: RunContext) -> float:
        """PTQ of the float network after the same epochs with the same teachers.

        A network that was not trained to its end gains from any further epoch; only what QAT has over
        this is due to rounding while training.
        """
        longer = copy_of(given.module)
        recover(longer, ctx, self.train, self.kd, name="float_same_epochs")
        graph, _, _ = self._quantized(replace(given, module=longer), ctx, {})
        return evaluate(graph, ctx).value


def bits_here(target: Target) -> WeightBits:
    """All 8, but where this CPU would add up products of them wrongly."""
    return 7 if target.runtime == "onnxruntime" and int8_saturates() else 8


def _integer_layers(spec: QuantizationSpec) -> int:
    return sum(quantizer.role == "weight" for quantizer in spec.quantizers)


def _notes_of_graph(graph: fx.GraphModule) -> list[str]:
    """What is another network than the one that was given."""
    swapped = graph.meta.get(SWAPPED)
    said = [] if swapped is None else [f"{swapped} activations (HardSwish, SiLU, Mish) became ReLU"]
    return [*filter(None, [merged_branches(graph)]), *said]


def _notes_of_bits(spec: QuantizationSpec) -> list[str]:
    """What there is to say of weights that don't use all of int8."""
    said = {
        4: "weights have 4 bits in the file, and are int8 when it is loaded",
        7: "weights keep to 7 bits, for CPUs without VNNI, on which sums of products of 8 overflow",
    }
    if spec.scheme == "onnxruntime-cpu" and int8_saturates():
        said[8] = "weights have all 8 bits, whose products overflow on this CPU, which has no VNNI: the file's answers "
        said[8] += "here are not those of the CPU that it is meant for; quantize.weight_bits='auto' leaves them 7"
    return [said[bits] for bits in sorted({one.bits for one in spec.quantizers if one.role == "weight"} & said.keys())]


def _notes_of(spec: QuantizationSpec) -> list[str]:
    """One line a reason, with the layers that it keeps in float."""
    by_reason: dict[str, list[str]] = {}
    for layer, reason in spec.float_layers.items():
        # Each has times of its own, which the specification keeps.
        by_reason.setdefault(SLOWER if reason.startswith(SLOWER) else reason, []).append(layer)
    return [f"in float: {_listed(layers)} ({reason})" for reason, layers in by_reason.items()]


def _listed(names: list[str], shown: int = 4) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
