"""What a search does to networks: stages on them, each once, and what the files that come of them cost and score."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from compressor.context import Decisions, RunContext, ShowProgress
from compressor.copies import copy_of
from compressor.data import fitted
from compressor.digests import file_digest, module_digest
from compressor.errors import PlanError, StageError
from compressor.measure import Snapshot, costs_of, snapshot
from compressor.models import Form
from compressor.pipeline.cache import Done, StageFolder, stage_key
from compressor.pipeline.folder import REFERENCE
from compressor.pipeline.job import Job
from compressor.pipeline.step import Current, Measure, do_step, facts_of, searched_folder
from compressor.report import StageRecord
from compressor.stage import Stage

# What a clock said of the first network's layers is taken to hold for what is cut out of it, until one is chosen.
INHERITED = ("weight_bits", "int8_against_float")
# What a search adds to the numbers of its stages.
SECONDS, PRECISION, DIGEST = "seconds_in_all", "precision_of_file", "sha256_of_file"


@dataclass(frozen=True)
class Node:
    """A network on the way, or the file at the end of it.

    Args:
        name: For reports, ``"p3"``.
        stages: What made it of the reference.
        content: Its digest.
        folder: Where it lies; None for the reference itself.
        records: What each stage said.
    """

    name: str
    stages: tuple[Stage, ...]
    content: str
    folder: Path | None = None
    records: tuple[StageRecord, ...] = ()

    @property
    def measured(self) -> StageRecord:
        """The record of a file: what it was measured as."""
        return self.records[-1]

    @property
    def precision(self) -> str:
        """Of a file: of the numbers in it."""
        return str(self.measured.metrics.get(PRECISION, ""))

    @property
    def sha256(self) -> str:
        """Of a file: its digest, which the network's is not where no stage exports."""
        return str(self.measured.metrics.get(DIGEST, ""))

    @property
    def epochs(self) -> int:
        """Of training, all stages together."""
        return sum(map(epochs_of, self.stages))

    def after(self, name: str, stage: Stage, done: Done, folder: Path) -> "Node":
        """What a stage made of this."""
        return Node(name, (*self.stages, stage), done.content, folder, (*self.records, done.record))


class Work:
    """Does stages and measures on validation, from the run's folder where it was done before.

    Args:
        job: Prepared.
        reference: The reference's file, measured on test.
        progress: Where reports go.

    Attributes:
        seconds: Of training and of measuring, those of earlier sittings too.
        now: What of them was spent since this was made.
        done: How many stages were really done since then, and not taken from where they were done before.
        epochs: Of all trainings.
        decisions: What a clock decided of the search itself.
    """

    def __init__(self, job: Job, reference: Snapshot, progress: ShowProgress) -> None:
        self.job = replace(job, fresh=False)
        self._progress = progress
        self._facts = facts_of(job, job.all_teachers)
        self._count = 0
        self._inherited: dict[str, Any] = {}
        self.seconds = {"training": 0.0, "measuring": 0.0}
        self.now = 0.0
        self.done = 0
        self.epochs = 0
        self.decisions = Decisions(job.out / "search" / "decisions.json")
        self.reference = self._reference_on_validation(reference)
        self.origin = Node("p00", (), module_digest(job.model.module))

    def step(self, node: Node, stage: Stage) -> Node | str:
        """What a stage makes of a network, not measured; or why it can't."""
        self._count += 1
        try:
            return node.after(f"p{self._count:02d}", stage, *self._done(node, stage, _counted))
        except (StageError, PlanError) as error:
            return error.message

    def file(self, node: Node, tail: tuple[Stage, ...], label: str = "") -> Node | str:
        """The file that further stages make of a network, measured on validation; or why there is none.

        Args:
            node: The network.
            tail: At least one stage.
            label: What tells the file from others of the network. Without one, what a clock decided of the first
                network's layers is taken for granted.
        """
        made, name = node, f"{node.name} {label}".strip()
        for place, stage in enumerate(tail):
            measure = self._on_validation if place == len(tail) - 1 else _counted
            try:
                done, folder = self._done(made, stage, measure, None if label else self._seed)
            except (StageError, PlanError) as error:
                return error.message
            made = made.after(name, stage, done, folder)
            if not label and not self._inherited:
                decided = done.record.decisions
                self._inherited = {key: decided[key] for key in INHERITED if key in decided}
        return made

    def seconds_for(self, node: Node, epochs: int) -> float:
        """How long so many epochs of what is cut out of a network will take at most, with what would have to follow."""
        rates = [
            record.seconds / epochs_of(stage)
            for record, stage in zip(node.records, node.stages, strict=True)
            if epochs_of(stage)
        ]
        # Training with rounding takes about twice as long, and its file is measured like those before it.
        return (rates[-1] if rates else 0.0) * (epochs + 2 * 2) + 2 * self.seconds_of_a_file

    @property
    def seconds_of_a_file(self) -> float:
        """How long the measuring of one took, on average."""
        return self.seconds["measuring"] / max(1, self._count + 1)

    def form_after(self, node: Node, stages: tuple[Stage, ...]) -> tuple[Form, RunContext]:
        """What the first stages of a file that was written made of a network, and a context for it."""
        for stage in stages:
            node = node.after(node.name, stage, *self._done(node, stage, _counted, self._seed))
        form = self._current(node).load()
        return form, self.job.context(self.job.out / "search", self.job.all_teachers, info=form.info)

    def trial(self, node: Node, stages: tuple[Stage, ...], timed: bool) -> StageRecord:
        """What the file that stages make would cost, from networks that nobody trained.

        Args:
            node: What they begin with.
            stages: All there are up to the file.
            timed: Whether its latency is measured as well.
        """
        start = time.perf_counter()
        form = self._current(node).load()
        with tempfile.TemporaryDirectory() as folder:
            ctx = self.job.context(Path(folder), self.job.all_teachers, info=form.info)
            for stage in stages:
                form = stage.rehearse(form, replace(ctx, data=fitted(self.job.data, form.info))).model
            record = costs_of(form, ctx, self.reference if timed else None)
        self.spent("measuring", time.perf_counter() - start)
        return record

    def spent(self, what: str, seconds: float) -> None:
        """Count seconds of training or measuring that were spent just now."""
        self.seconds[what] += seconds
        self.now += seconds

    def _current(self, node: Node) -> Current:
        form = replace(self.job.model, module=copy_of(self.job.model.module)) if node.folder is None else None
        return Current(form, node.folder, self.job.model.builder)

    def _done(
        self, node: Node, stage: Stage, measure: Measure, before: Callable[[Path], None] | None = None
    ) -> tuple[Done, Path]:
        # What was inherited changes a result as settings do.
        facts = self._facts if before is None else {**self._facts, "inherited": self._inherited}
        key = stage_key(stage, node.content, facts)
        place = StageFolder(searched_folder(self.job.out, stage, key), key)
        done = place.result()
        start = time.perf_counter()
        if done is None:
            timed = _timed(measure, start)
            current, teachers = self._current(node), self.job.all_teachers
            name = f"{node.name} {stage.kind}"
            done = do_step(stage, name, current, place, self.job, teachers, self._progress, timed, before)
            self.now += time.perf_counter() - start
            self.done += 1
        whole = float(done.record.metrics.get(SECONDS, 0.0))
        trained = done.record.seconds if epochs_of(stage) else 0.0
        self.epochs += epochs_of(stage)
        self.seconds["training"] += trained
        self.seconds["measuring"] += max(0.0, whole - trained)
        return done, place.path

    def _on_validation(self, form: Form, ctx: RunContext) -> tuple[StageRecord, Path | None]:
        taken = snapshot("point", form, ctx, ctx.workdir, self.reference, "validation")
        taken.save(ctx.workdir)
        digest = file_digest(taken.artifact.path)
        metrics = {**taken.record.metrics, PRECISION: taken.artifact.precision, DIGEST: digest}
        return taken.record.model_copy(update={"metrics": metrics}), taken.artifact.path

    def _seed(self, folder: Path) -> None:
        decisions = Decisions(folder / "decisions.json")
        for name, made in self._inherited.items():
            decisions.settle(name, partial(made.get, "value"), made["setting"])

    def _reference_on_validation(self, reference: Snapshot) -> Snapshot:
        key = stage_key(None, module_digest(self.job.model.module), self._facts)
        place = StageFolder(self.job.out / "search" / REFERENCE, key)
        start = time.perf_counter()
        done = place.result()
        if done is None:
            place.begin(fresh=False)
            ctx = self.job.context(place.path, self.job.all_teachers, self._progress)
            taken = snapshot(REFERENCE, reference.artifact, ctx, place.path, None, "validation")
            taken.save(place.path)
            record = taken.record.model_copy(update={"seconds": round(time.perf_counter() - start, 3)})
            done = place.finish(record, module_digest(self.job.model.module))
            self.now += time.perf_counter() - start
        self.seconds["measuring"] += done.record.seconds
        return Snapshot.load(place.path)


def epochs_of(stage: Stage) -> int:
    """Of the training that a stage does; 0 where it doesn't."""
    train = getattr(stage, "train", None)
    return 0 if train is None or getattr(stage, "qat", True) is False else int(train.epochs)


def _counted(form: Form, ctx: RunContext) -> tuple[StageRecord, Path | None]:
    return StageRecord(name=ctx.workdir.name, kind="", seconds=0.0), None


def _timed(measure: Measure, start: float) -> Measure:
    """With the seconds since a start in the record: what stands between two of them is all that a search waits for."""

    def timed(form: Form, ctx: RunContext) -> tuple[StageRecord, Path | None]:
        record, artifact = measure(form, ctx)
        metrics = {**record.metrics, SECONDS: round(time.perf_counter() - start, 3)}
        return record.model_copy(update={"metrics": metrics}), artifact

    return timed
