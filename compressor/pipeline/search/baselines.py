"""What a search has to beat: a fixed profile, and cuts drawn at random with as much training."""

from collections.abc import Callable
from pathlib import Path

from compressor.context import Progress, ShowProgress
from compressor.measure import Snapshot
from compressor.pipeline.job import Job
from compressor.pipeline.search.moves import Moves
from compressor.pipeline.search.random_cuts import random_cuts
from compressor.pipeline.search.words import in_words
from compressor.pipeline.search.work import Node, Work
from compressor.prune.stage import Prune
from compressor.report import Baseline

# Of each layer's channels, kept where the profile says no amount.
HALF = 0.5


def baselines(
    job: Job,
    reference: Snapshot,
    progress: ShowProgress,
    searched: Moves,
    start: Node,
    fixed: Prune,
    epochs: int,
) -> list[Baseline]:
    """What simpler ways find from the same start, each with files of its own; chosen by validation as the search's are.

    Args:
        job: Prepared.
        reference: The reference's file, measured.
        progress: Where reports go.
        searched: The search's own moves: its stages, its judge, and the time that is left.
        start: What the profile's stages before the searched one made.
        fixed: The stage of a profile that searches for nothing.
        epochs: Of all of the search's trainings after that; so many has the random search, or what time allows.

    Returns:
        The fixed profile's row and the random search's; less where one made no file, which is noted.
    """
    rows, time_left = [], searched.seconds_left

    def arm(name: str, wanted: int, does: Callable[[Moves, int], None]) -> None:
        nonlocal time_left
        work, before = Work(job, reference, progress), time_left
        known = sum(work.seconds.values())

        # Each arm has what those before it left.
        def left() -> float:
            return before() + known - sum(work.seconds.values())

        def found(file: Node) -> None:
            drop = -100 * (file.measured.score_drop or 0.0)
            progress(Progress(name, message=f"{file.name}: {file.measured.size_bytes:,} bytes, {drop:+.1f} points"))

        time_left = left
        moves = Moves(work, searched.judge, searched.prune, searched.tail, left, found)
        affordable = _affordable(searched.work, left(), wanted)
        if affordable < wanted:
            searched.notes.append(f"{name}: there is time for {affordable} of {wanted} epochs")
        if affordable:
            does(moves, affordable)
        searched.notes += [f"{name}: {note}" for note in moves.notes]
        if moves.files:
            best = moves.chosen
            rows.append(_row(name, moves, best, work.epochs + start.epochs))

    def as_told(moves: Moves, affordable: int) -> None:
        node = moves.made(start, fixed) if affordable == fixed.train.epochs else None
        if node is not None:
            moves.finish(node)

    arm("fixed profile", fixed.train.epochs, as_told)
    arm("random search", epochs, lambda moves, affordable: random_cuts(moves, start, affordable, job.seed))
    return rows


def _affordable(work: Work, left: float, epochs: int) -> int:
    """Of so many epochs, those for which there is time, at what the search's own took with their measuring."""
    if left == float("inf") or not work.epochs:
        return epochs
    return max(0, min(epochs, int(left / (sum(work.seconds.values()) / work.epochs))))


def _row(name: str, moves: Moves, file: Node, epochs: int) -> Baseline:
    record = file.measured
    assert record.size_bytes is not None and record.score_drop is not None and record.artifact is not None
    return Baseline(
        name=name,
        made_by=[in_words(stage) for stage in file.stages],
        size_bytes=record.size_bytes,
        latency_ms=record.latency_ms.p50 if record.latency_ms else None,
        reference_latency_ms=record.latency_ms.reference_p50 if record.latency_ms else None,
        score_drop=record.score_drop,
        score_drop_stderr=record.score_drop_stderr,
        epochs=epochs,
        meets=moves.judge.meets(record),
        artifact=(Path("search") / record.artifact).as_posix(),
        sha256=file.sha256,
    )
