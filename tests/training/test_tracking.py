"""What is logged once, what twice, and what becomes of a tracker that fails: with TensorBoard's files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compressor.context import Progress, silent
from compressor.training.tracking import NAME, tracking

ROW = {"loss": 0.5, "labels": 0.25, "score": 0.75, "seconds": 1.0}
TENSORBOARD = ("tensorboard",)


def ended(epoch: int, **changed: float) -> Progress:
    return Progress("01-prune recover", 4, 4, epoch, 3, row={**ROW, **changed})


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(run))
    read.Reload()
    # Sittings within a second are read in no order.
    return {name: sorted((one.step, one.value) for one in read.Scalars(name)) for name in read.Tags()["scalars"]}


def follow(
    folder: Path, *events: Progress, parameters: dict[str, str] | None = None, threads: str = "1", fresh: bool = False
) -> None:
    """One sitting of a run, in which these reports are made."""
    said: list[Progress] = []
    asked, made_on = parameters or {"seed": "0"}, {"threads": threads}
    with tracking(TENSORBOARD, folder, asked, said.append, made_on=made_on, fresh=fresh) as log:
        show = log.follow(said.append, "seed-0/")
        for event in events:
            show(event)
    assert said == list(events)


def test_an_epoch_is_logged_when_it_ends_and_only_once(tmp_path: Path) -> None:
    running = Progress("01-prune recover", 1, 4, 2, 3, loss=9.0)
    follow(tmp_path, ended(1), running, ended(2))
    # Killed after it was logged and before its weights were kept, an epoch is trained again, to the same bits.
    follow(tmp_path, ended(2, seconds=3.0), ended(3, loss=0.125))
    found = scalars(tmp_path / "tensorboard" / "1")
    assert found["seed-0/01-prune/recover/loss"] == [(1, 0.5), (2, 0.5), (3, 0.125)]
    assert found["seed-0/01-prune/recover/validation_score"] == [(1, 0.75), (2, 0.75), (3, 0.75)]
    assert {name.rpartition("/")[2] for name in found} == {"loss", "labels", "validation_score", "seconds"}


def test_trainings_of_one_name_are_told_apart(tmp_path: Path) -> None:
    follow(tmp_path, ended(1), ended(2), ended(1, loss=2.0), ended(2, loss=1.0), ended(1, loss=4.0))
    # Gone on with: the last of them.
    follow(tmp_path, ended(2, loss=3.0), ended(1, loss=8.0))
    found = scalars(tmp_path / "tensorboard" / "1")
    losses = {name: value for name, value in found.items() if name.endswith("/loss")}
    assert losses == {
        "seed-0/01-prune/recover/loss": [(1, 0.5), (2, 0.5)],
        "seed-0/01-prune/recover-2/loss": [(1, 2.0), (2, 1.0)],
        "seed-0/01-prune/recover-3/loss": [(1, 4.0), (2, 3.0)],
        "seed-0/01-prune/recover-4/loss": [(1, 8.0)],
    }


def test_nothing_new_opens_nothing(tmp_path: Path) -> None:
    follow(tmp_path)
    assert list(tmp_path.iterdir()) == []
    follow(tmp_path, ended(1))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    follow(tmp_path, ended(1), threads="2")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_other_parameters_a_fresh_run_and_a_damaged_record_are_another_run(tmp_path: Path) -> None:
    follow(tmp_path, ended(1))
    follow(tmp_path, ended(1), parameters={"seed": "1"})
    follow(tmp_path, ended(1), parameters={"seed": "1"}, fresh=True)
    for spoil in ("{}", "no json", (tmp_path / NAME).read_text().replace('"run": "3"', '"run": "1"')):
        (tmp_path / NAME).write_text(spoil)
        follow(tmp_path, ended(1), parameters={"seed": "1"})
    assert sorted(path.name for path in (tmp_path / "tensorboard").iterdir()) == ["1", "2", "3", "4", "5", "6"]
    assert all(scalars(path) for path in (tmp_path / "tensorboard").iterdir())


def test_a_tracker_that_fails_is_left_out_and_said_once(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").touch()
    said: list[Progress] = []
    with tracking(TENSORBOARD, tmp_path, {}, said.append) as log:
        log.log("00-reference", {"score": 0.5})
        log.follow(silent)(ended(1))
        log.finish({"score": 0.5}, "| a |", {})
    (note,) = log.notes
    assert note.startswith("tracking with tensorboard ended before the run did: ")
    assert [note in event.message for event in said] == [True]
    # What was not logged is logged by the next.
    (tmp_path / "tensorboard").unlink()
    with tracking(TENSORBOARD, tmp_path, {}, silent) as log:
        log.log("00-reference", {"score": 0.5})
    assert scalars(tmp_path / "tensorboard" / "1") == {"00-reference/score": [(1, 0.5)]}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_however_it_ends_the_files_are_closed(
    tmp_path: Path, error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        with tracking(TENSORBOARD, tmp_path, {}, silent) as log:
            log.log("00-reference", {"score": 0.5})
            raise error

    with pytest.raises(error):
        fail()
    assert scalars(tmp_path / "tensorboard" / "1") == {"00-reference/score": [(1, 0.5)]}
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / NAME).read_text())["tensorboard"]["run"] == "1"


def test_without_trackers_reports_go_their_way(tmp_path: Path) -> None:
    show: Callable[[Progress], None] = silent
    with tracking((), tmp_path, {}, show) as log:
        assert log.follow(show) is show
        log.finish({}, "", {"report.json": tmp_path / "is not there"})
    assert list(tmp_path.iterdir()) == []
