"""A search's work on networks that are only imagined: what a cut costs is a formula, so that the best is known."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

from compressor.distill.recover_stage import Recover
from compressor.export.stage import Export
from compressor.pipeline.search.front import Judge
from compressor.pipeline.search.moves import Moves
from compressor.pipeline.search.work import PRECISION, Node, Work, epochs_of
from compressor.prune.stage import Prune
from compressor.quantize.stage import Quantize
from compressor.report import Latency, StageRecord
from compressor.stage import Stage
from compressor.target import Goals, Target
from compressor.training import TrainSettings

WHOLE_BYTES = 1_000_000
REFERENCE = StageRecord(
    name="reference", kind="", seconds=1.0, size_bytes=4 * WHOLE_BYTES, score=0.9, params=10**6, macs=10**7
)


@dataclass
class Imagined:
    """Networks whose file has ``WHOLE_BYTES`` times the square of the channels' share, and a drop by a formula.

    The drop is ``steepness`` for every halving of the channels beyond ``free`` of them, less what training wins back:
    a share of it that falls by ``forgets`` with every epoch since the cut. Rounding costs ``rounding`` until the
    network is trained with it.
    """

    free: float = 0.3
    steepness: float = 0.01
    untrained: float = 0.03
    forgets: float = 0.5
    rounding: float = 0.0
    least_step: float = 0.0
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.origin = Node("p00", (), "reference")
        task, profile = SimpleNamespace(higher_is_better=True), SimpleNamespace(target=Target(runtime="onnxruntime"))
        self.job = SimpleNamespace(task=task, profile=profile)
        self._count = 0
        self.decisions = SimpleNamespace(settle=lambda name, decide, setting: decide())

    def keep_of(self, node: Node) -> float:
        keep = 1.0
        for stage in node.stages:
            if isinstance(stage, Prune):
                keep *= 1 - (stage.ratio or 0.0)
        return keep

    def drop_of(self, node: Node) -> float:
        from math import log2

        lost = self.steepness * max(0.0, log2(self.free / self.keep_of(node)))
        raw = 0.0
        for stage in node.stages:
            raw += self.untrained if isinstance(stage, Prune) else 0.0
            raw *= self.forgets ** (epochs_of(stage) if isinstance(stage, (Prune, Recover)) else 0)
        return lost + raw

    def step(self, node: Node, stage: Stage) -> Node | str:
        self._count += 1
        if isinstance(stage, Prune) and (stage.ratio or 0) < self.least_step:
            return "prune: nothing can go"
        name = f"p{self._count:02d}"
        self.log.append(f"{name}: {node.name} {stage.kind} {getattr(stage, 'ratio', None) or ''} {epochs_of(stage)}")
        record = StageRecord(name=name, kind=stage.kind, seconds=float(epochs_of(stage)))
        return Node(name, (*node.stages, stage), name, None, (*node.records, record))

    def file(self, node: Node, tail: tuple[Stage, ...], label: str = "") -> Node | str:
        rounding = 0.0 if label else self.rounding
        keep = self.keep_of(node)
        quantized = StageRecord(
            name="", kind="quantize", seconds=0.0, metrics={"validation_before": 0.9, "ptq_score": 0.9 - rounding}
        )
        record = StageRecord(
            name="",
            kind="export",
            seconds=0.0,
            size_bytes=round(WHOLE_BYTES * keep**2),
            score=0.9 - self.drop_of(node) - rounding,
            score_drop=self.drop_of(node) + rounding,
            score_drop_stderr=0.001,
            latency_ms=Latency(p50=keep, reference_p50=2.0, runtime="imagined"),
            metrics={PRECISION: "int8"},
        )
        name = f"{node.name} {label}".strip()
        self.log.append(f"{name}: {record.size_bytes} bytes, {record.score_drop:+.4f}")
        return replace(node, name=name, stages=(*node.stages, *tail), records=(*node.records, quantized, record))

    def trial(self, node: Node, stages: tuple[Stage, ...], timed: bool) -> StageRecord:
        keep = self.keep_of(replace(node, stages=(*node.stages, *stages)))
        return StageRecord(name="", kind="", seconds=0.0, size_bytes=round(WHOLE_BYTES * keep**2))

    def seconds_for(self, node: Node, epochs: int) -> float:
        return float(epochs)


def moves_on(work: Imagined, left: float = float("inf"), **goals: Any) -> Moves:
    """Moves on imagined networks; a whole training has 8 epochs."""
    judge = Judge(Goals(**goals), REFERENCE)
    tail = (Quantize(), Export())
    prune = Prune(train=TrainSettings(epochs=8))
    return Moves(cast("Work", work), judge, prune, tail, lambda: left, lambda _: None)
