"""What a search is compared with, on the small network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compressor.context import silent
from compressor.digests import file_digest
from compressor.export.stage import Export
from compressor.pipeline import Job
from compressor.pipeline.job import prepared
from compressor.pipeline.loop import Arm, measure_reference
from compressor.pipeline.search.baselines import baselines
from compressor.pipeline.search.front import Judge
from compressor.pipeline.search.moves import Moves
from compressor.pipeline.search.work import Work
from compressor.profile import Profile
from compressor.prune.stage import Prune
from compressor.target import Goals, Target
from compressor.training import TrainSettings

ONCE = TrainSettings(epochs=1, batch_size=64, precision="fp32", crop=0, channels_last="off")
HALF = Prune(train=ONCE, ratio=0.5)


@pytest.fixture
def arms(make_job: Callable[..., Job]) -> Callable[..., tuple[list[Any], Moves]]:
    def run(epochs: int, left: float = float("inf")) -> tuple[list[Any], Moves]:
        stages = (Prune(train=ONCE), Export())
        goals = Goals(score_drop=0.9)
        job = prepared(make_job(profile=Profile("test", "a test", Target(runtime="onnxruntime"), goals, stages)))
        arm = Arm([], [], [])
        measure_reference(job, job.out, job.all_teachers, silent, arm)
        work = Work(job, arm.snapshots[0], silent)
        moves = Moves(work, Judge(goals, work.reference.record), stages[0], stages[1:], lambda: left, lambda _: None)
        work.epochs = epochs
        return baselines(job, arm.snapshots[0], silent, moves, work.origin, HALF, epochs), moves

    return run


def test_rows_with_as_many_epochs(arms: Callable[..., tuple[list[Any], Moves]], tmp_path: Path) -> None:
    (fixed, drawn), moves = arms(2)
    assert (fixed.name, drawn.name) == ("fixed profile", "random search")
    assert fixed.made_by == ["prune 50%, 1 epochs", "export"] and fixed.epochs == 1
    assert drawn.epochs == 2 and not moves.files
    for row in (fixed, drawn):
        assert row.meets and row.size_bytes > 0 and row.latency_ms is not None
        assert file_digest(tmp_path / "run" / row.artifact) == row.sha256


def test_without_time_there_are_fewer_and_it_is_said(arms: Callable[..., tuple[list[Any], Moves]]) -> None:
    rows, moves = arms(2, left=0.0)
    assert not rows
    assert moves.notes == [
        "fixed profile: there is time for 0 of 1 epochs",
        "random search: there is time for 0 of 2 epochs",
    ]
