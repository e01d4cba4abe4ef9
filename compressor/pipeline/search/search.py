"""A run's stages found by trying: from the stage that is told no ratio to the file that meets the goals best."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from compressor.context import Progress, ShowProgress
from compressor.digests import file_digest
from compressor.distill.stage import Distill
from compressor.errors import InputError, PlanError, StageError
from compressor.measure import Snapshot
from compressor.pipeline.cache import DONE, KEY
from compressor.pipeline.estimate import seconds_of_step
from compressor.pipeline.folder import is_run
from compressor.pipeline.foresight import is_open, place_of_search, search_notes
from compressor.pipeline.job import Job
from compressor.pipeline.search.baselines import HALF, baselines
from compressor.pipeline.search.front import Judge, front_of
from compressor.pipeline.search.lock import locked
from compressor.pipeline.search.moves import SHORT, WHOLE, Moves
from compressor.pipeline.search.path import smallest
from compressor.pipeline.search.sensitivity import sensitivity_of
from compressor.pipeline.search.sides import Sides
from compressor.pipeline.search.sized import best_of_size
from compressor.pipeline.search.space import space_of
from compressor.pipeline.search.storage import IDENTITY, JOURNAL, Opened, open_study
from compressor.pipeline.search.study import Study
from compressor.pipeline.search.words import in_words
from compressor.pipeline.search.work import Node, Work
from compressor.pipeline.summary import artifact_of
from compressor.prune.stage import Prune
from compressor.report import Artifact, FrontPoint, Search, Sensitivity, StageRecord
from compressor.stage import Stage
from compressor.writing import write_atomically

BEST = "best"
# Of a search's folder, beside a folder for every stage.
OWN_FILES = (JOURNAL, IDENTITY, "decisions.json")
# Of what is only told: no choice hangs on it.
SECONDS_OF_SENSITIVITY = 20.0
# Of the time that was given, to find out whether it is enough.
LOOKING = 0.01


@dataclass
class Searched:
    """What a search has found so far: right at every moment, for the report of a run that is killed in the next."""

    grown: Callable[[], None] = lambda: None
    report: Search | None = None
    best: Artifact | None = None
    sensitivity: list[Sensitivity] = field(default_factory=list)
    stages: tuple[Stage, ...] = field(default=())


@contextmanager
def begun(job: Job) -> Iterator[Opened | None]:
    """Hold the folder of a job's search, and where it has trials open their study, before anything is trained.

    Raises:
        InputError: Another process searches in the folder, a file that is no run's is in the way, or the storage is
            another search's or can't be reached.
        MissingError: What the storage needs isn't installed.
        PlanError: The job asks for trials, and no stage is open.
    """
    if not is_open(job):
        if job.trials:
            raise PlanError(
                "there is nothing to search: wanted goals, and a prune stage to meet them",
                "--max-drop 0.01, and a profile that prunes",
            )
        yield None
        return
    _check_best(job.out)
    with locked(job.out / "search"):
        if job.fresh and is_run(job.out):
            _forget(job.out / "search")
        yield open_study(job, job.stages) if job.trials else None


def search(
    job: Job, reference: Snapshot, progress: ShowProgress, searched: Searched, opened: Opened | None = None
) -> Job:
    """Find the stages with which a run meets its goals best.

    Everything is chosen by the validation split. What was tried stays in the run's folder, so that a search that was
    ended at any moment goes on where it was, and the run itself takes from there what it would do again.

    Args:
        job: Prepared; one of its stages is open.
        reference: The reference's file, measured.
        progress: Where reports go.
        searched: Grows with every file that is measured.
        opened: The study of a wider search, which begins with what the search has found.

    Returns:
        The job with the stages that were found, each with a ratio.

    Raises:
        PlanError: The time is too short for a single step.
        StageError: No file at all could be made.
    """
    place = place_of_search(job)
    assert place is not None
    given, tail = job.stages[place], job.stages[place + 1 :]
    assert isinstance(given, Prune)
    prune = given.opened()
    began = time.perf_counter()
    work = Work(job, reference, progress)
    judge = Judge(job.profile.budget, work.reference.record)
    hours = judge.goals.hours
    spent = reference.record.seconds

    def seconds_left() -> float:
        needed = spent + sum(work.seconds.values()) + moves.seconds_to_report
        return float("inf") if hours is None else hours * 3600 - needed

    def own_seconds() -> float:
        return max(0.0, time.perf_counter() - began - work.now)

    def found(file: Node) -> None:
        searched.report = _report(work, judge, moves, own_seconds(), searched)
        searched.best = _keep_best(judge, moves.files, job.out)
        progress(Progress("search", message=_so_far(judge, moves.files, file, seconds_left())))
        # The report of a run that was finished stands while it is gone through again.
        if work.done:
            searched.grown()

    moves = Moves(work, judge, prune, tail, seconds_left, found, brief=job.quick)
    if hours is not None:
        _check_time(moves, hours, seconds_left())
    sides = _sides(moves, job, place)
    start = sides.reference()
    if start is None:
        raise StageError("; ".join(moves.notes), "--without the stage that fails")
    if not moves.brief:
        start_of_measuring = time.perf_counter()
        try:
            searched.sensitivity = sensitivity_of(job, job.model, seconds=SECONDS_OF_SENSITIVITY, progress=progress)
        except PlanError as error:
            moves.notes.append(f"what each part is to the score was not measured: {error.message}")
        work.spent("measuring", time.perf_counter() - start_of_measuring)
    fixed = moves.cutting(HALF, moves.epochs(WHOLE)) if given.is_open else given
    if fixed is given:
        # What a profile says that leaves nothing open: the wider search of it is to be no worse.
        moves.file(start)
        as_told = moves.made(start, given)
        if as_told is not None:
            moves.finish(as_told)
    if judge.objective == "score":
        best_of_size(moves, start, sides.within)
        if judge.best(moves.files) is None and (relative := sides.smallest()) is not None:
            # Only what is cut out of a smaller relative is that small.
            best_of_size(moves, relative)
    else:
        smallest(moves, sides.best_start(start))
    if not moves.files:
        raise StageError("search: no file could be made: " + "; ".join(moves.notes), "compress plan says more")
    if opened is not None:
        # Who searches wide wants to know what that was worth: half of the time is for what it is compared with.
        moves.seconds_left = lambda: seconds_left() - (hours or 0.0) * 3600 / 2
        study = Study(opened, moves, space_of(job, sides.before, prune), sides.before, start, job.seed)
        study.search(job.trials)
        moves.seconds_left = seconds_left
    chosen = moves.chosen
    searched.report = _report(work, judge, moves, own_seconds(), searched, chosen)
    if work.done:
        searched.grown()
    if opened is not None:
        rows = baselines(job, reference, progress, moves, start, fixed, work.epochs - start.epochs)
        # They may have had to be shortened, which is noted.
        told = _report(work, judge, moves, own_seconds(), searched, chosen)
        searched.report = told.model_copy(update={"baselines": rows, "seconds": searched.report.seconds})
    searched.stages = chosen.stages
    return replace(job, profile=replace(job.profile, stages=chosen.stages))


def _sides(moves: Moves, job: Job, place: int) -> Sides:
    """Which of the stages before the searched one is left open as well."""
    before = job.stages[:place]
    for index, stage in enumerate(before):
        if isinstance(stage, Distill) and stage.is_open and job.student is None:
            after = before[index + 1 :]
            return Sides(moves, (*before[:index], *after), stage, after)
    return Sides(moves, before, None, ())


def _forget(folder: Path) -> None:
    """Delete what searches left in their folder, and nothing else that may lie in a folder of that name."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink() and any((path / mark).exists() for mark in (KEY, DONE)):
            shutil.rmtree(path)
        elif path.is_file() and (path.name in OWN_FILES or path.match("sensitivity-*.json")):
            path.unlink()


def _check_best(out: Path) -> None:
    path = out / BEST / "model.onnx"
    if path.exists() and not is_run(out):
        raise InputError(f"{path} is not a run's, and would be written over", "move it, or another --out")


def _check_time(moves: Moves, hours: float, left: float) -> None:
    """Refuse a time that isn't enough for the first step: a cut, its training, and the measuring of its file."""
    work, prune, epochs = moves.work, moves.prune, moves.epochs(SHORT)
    look = partial(seconds_of_step, work.job, prune.train, prune.kd, most=max(1.0, LOOKING * hours * 3600))
    a_step = work.decisions.settle("seconds of a training step", look, setting="budget.hours")
    training = a_step * epochs * work.job.data.steps_per_epoch(prune.train.batch_size)
    measuring = work.seconds["measuring"]
    if left < training + measuring:
        needed = (hours * 3600 - left + training + measuring) / 3600
        raise PlanError(
            f"--hours {hours:g} is too short for one step: {epochs} epochs of training take about {training:.0f} s and "
            f"the measuring of a file {measuring:.0f} s, beside the {hours * 3600 - left:.0f} s for the reference",
            f"--hours {max(4 * needed, 0.01):.2g}",
        )


def _report(
    work: Work, judge: Judge, moves: Moves, own: float, searched: Searched, chosen: Node | None = None
) -> Search:
    front, job = front_of(moves.files), work.job
    return Search(
        objective=judge.objective,
        goals=judge.goals.limits(),
        split="validation",
        samples=len(job.data.validation),
        epochs=work.epochs,
        seconds={name: round(value, 1) for name, value in (*work.seconds.items(), ("search", own))},
        front=[_point(file, judge, file.name in front, file is chosen, job.out) for file in moves.files],
        sensitivity=searched.sensitivity,
        notes=[*search_notes(job), *moves.notes, *filter(None, [judge.lacking(moves.files)])],
    )


def _point(file: Node, judge: Judge, on_front: bool, chosen: bool, out: Path) -> FrontPoint:
    record = file.measured
    assert record.score is not None and record.score_drop is not None and record.size_bytes is not None
    latency = record.latency_ms
    return FrontPoint(
        name=file.name,
        made_by=[in_words(stage) for stage in file.stages],
        score=record.score,
        score_stderr=record.score_stderr,
        score_drop=record.score_drop,
        score_drop_stderr=record.score_drop_stderr,
        size_bytes=record.size_bytes,
        latency_ms=latency.p50 if latency else None,
        reference_latency_ms=latency.reference_p50 if latency else None,
        params=record.params,
        macs=record.macs,
        precision=file.precision,
        epochs=file.epochs,
        meets=judge.meets(record),
        on_front=on_front,
        chosen=chosen,
        artifact=_path(file, out).relative_to(out).as_posix(),
        sha256=file.sha256,
    )


def _path(file: Node, out: Path) -> Path:
    assert file.measured.artifact is not None
    return out / "search" / file.measured.artifact


def _keep_best(judge: Judge, files: list[Node], out: Path) -> Artifact | None:
    """Put the best file so far where it is found without a report: whole at every moment."""
    best = judge.best(files)
    if best is None:
        return None
    source, folder = _path(best, out), out / BEST
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    if not path.exists() or file_digest(path) != file_digest(source):
        write_atomically(path, source.read_bytes())
    script = source.with_name("infer.py")
    if script.exists():
        shutil.copyfile(script, folder / "infer.py")
    return artifact_of(best.measured, f"{BEST}/model.onnx", best.precision, file_digest(path))


def _so_far(judge: Judge, files: list[Node], file: Node, left: float) -> str:
    def figures(record: StageRecord) -> str:
        size = record.size_bytes or 0
        shown = f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
        p50 = record.latency_ms.p50 if record.latency_ms else None
        parts = [shown, f"{p50:.3g} ms" if p50 else "", f"{-100 * (record.score_drop or 0):+.1f} points"]
        return ", ".join(filter(None, parts))

    best = judge.best(files)
    verdict = "meets the goals" if judge.meets(file.measured) else "misses them"
    so_far = "nothing that meets the goals yet" if best is None else f"best so far {figures(best.measured)}"
    remaining = "" if left == float("inf") else f", {max(0.0, left) / 60:.0f} min left"
    return f"{file.name}: {figures(file.measured)}, {verdict}; {so_far}{remaining}"
