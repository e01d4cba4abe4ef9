"""The study on networks whose best is known by a formula."""

from pathlib import Path
from typing import Any

import pytest
from imagined import Imagined, moves_on

from compressor.extras import require
from compressor.pipeline.search import storage
from compressor.pipeline.search.path import smallest
from compressor.pipeline.search.space import Space
from compressor.pipeline.search.storage import Opened
from compressor.pipeline.search.study import FOLDER, UNTRAINED, Study, squashed, worth
from compressor.report import StageRecord

SPACE = Space(("as told",), ("magnitude", "taylor"), ("local", "global"), (0.9, 0.5), (1.0,))


def opened(folder: Path, name: str = "aaaaaaaa", shared: str = "") -> Opened:
    optuna = require("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kept = optuna.storages.RDBStorage(shared) if shared else storage._journal(optuna, folder / "journal.log")
    study = optuna.create_study(storage=kept, study_name="test", load_if_exists=True)
    return Opened(study, "here", name, f"host:{name}", bool(shared))


def searched(work: Imagined, at: Opened, trials: int, left: float = float("inf"), **goals: Any) -> Study:
    moves = moves_on(work, left, **(goals or {"score_drop": 0.01}))
    smallest(moves, work.origin)
    study = Study(at, moves, SPACE, (), work.origin, seed=0)
    study.search(trials)
    return study


def record(**changed: Any) -> StageRecord:
    values: dict[str, Any] = {"size_bytes": 400_000, "score_drop": 0.0, "score": 0.9, **changed}
    return StageRecord(name="", kind="export", seconds=0.0, **values)


def states(at: Opened) -> list[str]:
    return [trial.state.name for trial in at.study.trials]


def test_values_are_in_order() -> None:
    kinds = [
        record(size_bytes=100_000),
        record(size_bytes=100_001),
        record(size_bytes=499_999, score_drop=0.0099),
        record(size_bytes=10, score_drop=0.0101),
        record(size_bytes=499_999, score_drop=0.02),
        record(size_bytes=10, score_drop=0.9),
        record(size_bytes=500_001),
        record(size_bytes=10**9, score_drop=0.9),
    ]
    judge = moves_on(Imagined(), score_drop=0.01, size_mb=0.5, minimize="size").judge
    values = [worth(judge, kind) for kind in kinds]
    assert values == sorted(values) and len(set(values)) == len(values)
    assert values[0] > 0 and values[2] < 1 < values[3] and values[5] < 2 < values[6] and values[7] < 3


def test_values_of_the_best_score() -> None:
    judge = moves_on(Imagined(), size_mb=0.5).judge
    values = [worth(judge, record(score_drop=drop)) for drop in (-0.05, 0.0, 0.01, 5.0)]
    assert values == sorted(values) and values[-1] < 1 < worth(judge, record(size_bytes=500_001))


def test_squashed_by_hand() -> None:
    assert [squashed(value) for value in (-1.0, 0.0, 1.0)] == [0.25, 0.5, 0.75]


def test_never_worse_than_the_path_and_told_its_result_first(tmp_path: Path) -> None:
    work = Imagined(steepness=0.01, free=0.2)
    path = moves_on(work, score_drop=0.01)
    smallest(path, work.origin)
    before = path.judge.best(path.files)
    at = opened(tmp_path)
    study = searched(work, at, 25)
    after = study.moves.judge.best(study.moves.files)
    assert before is not None and after is not None
    assert (after.measured.size_bytes or 0) <= (before.measured.size_bytes or 0)
    first = at.study.trials[0]
    assert first.params["keep"] == pytest.approx(max(work.keep_of(before), 0.03), rel=0.01)
    assert len(at.study.trials) == 25
    # What it tells is in the order of what is wanted.
    best = at.study.best_trial
    assert best.value < 1


def test_what_is_no_smaller_or_too_large_is_not_trained(tmp_path: Path) -> None:
    work = Imagined()
    at = opened(tmp_path)
    searched(work, at, 20, score_drop=0.01, size_mb=0.3, minimize="size")
    refused = [trial for trial in at.study.trials if trial.user_attrs.get(UNTRAINED)]
    assert refused
    for trial in refused:
        ratio = round(1 - trial.params["keep"] ** (1 / trial.params["cuts"]), 3)
        keep = (1 - ratio) ** trial.params["cuts"]
        assert not any(line.split()[1:4] == ["p00", "prune", str(ratio)] for line in work.log)
        assert trial.state.name == ("COMPLETE" if keep**2 > 0.3 else "PRUNED")
        assert trial.state.name == "PRUNED" or trial.value > 2


@pytest.mark.parametrize("killed_at", [1, 4, 9])
def test_a_search_that_was_killed_goes_on_with_the_same_trials(tmp_path: Path, killed_at: int) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir(), part.mkdir()
    known = opened(whole)
    searched(Imagined(), known, 12)

    class Killed(Imagined):
        left: float = float("inf")

        def step(self, node: Any, stage: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().step(node, stage)

    work = Killed()
    moves = moves_on(work, score_drop=0.01)
    smallest(moves, work.origin)
    work.left = killed_at
    at = opened(part)
    with pytest.raises(KeyboardInterrupt):
        Study(at, moves, SPACE, (), work.origin, seed=0).search(12)
    assert states(at)[-1] == "RUNNING"
    # As a kill in the middle of a line would leave it, with its lock.
    with (part / "journal.log").open("a") as journal:
        journal.write('{"op_code": 5, "tri')
    (part / "journal.log.lock").symlink_to("journal.log")
    at = opened(part)
    searched(Imagined(), at, 12)
    assert states(at).count("FAIL") == 1 and "RUNNING" not in states(at)
    told = [trial for trial in at.study.trials if trial.state.name != "FAIL"]
    assert len(told) == 12
    assert [trial.params for trial in told] == [trial.params for trial in known.study.trials]
    assert [trial.value for trial in told] == [trial.value for trial in known.study.trials]


def test_going_on_has_the_same_files(tmp_path: Path) -> None:
    first = searched(Imagined(), opened(tmp_path), 10)
    again = searched(Imagined(), opened(tmp_path), 10)
    assert [file.name for file in again.moves.files] == [file.name for file in first.moves.files]
    assert [file.measured for file in again.moves.files] == [file.measured for file in first.moves.files]


def test_what_cannot_be_made_is_told_as_the_worst(tmp_path: Path) -> None:
    at = opened(tmp_path)
    searched(Imagined(least_step=0.99), at, 3)
    assert [trial.value for trial in at.study.trials] == [3.0] * 3


def test_without_time_a_trial_stays_begun_and_is_taken_up_with_more(tmp_path: Path) -> None:
    at = opened(tmp_path)
    study = searched(Imagined(), at, 3, left=1.5)
    assert states(at) == ["RUNNING"]
    assert "study: 0 of 3 trials, 0 of them refused by their untrained files; the time was over" in study.moves.notes
    at = opened(tmp_path)
    searched(Imagined(), at, 3)
    assert states(at).count("FAIL") == 1 and "RUNNING" not in states(at)


def test_two_folders_share_their_trials(tmp_path: Path) -> None:
    shared = f"sqlite:///{tmp_path / 'trials.db'}"
    one = opened(tmp_path, "aaaaaaaa", shared)
    searched(Imagined(), one, 4)
    other = opened(tmp_path, "bbbbbbbb", shared)
    one.study.ask(SPACE.distributions()).set_user_attr(FOLDER, "aaaaaaaa")
    study = searched(Imagined(free=0.6, steepness=0.1), other, 8)
    owners = [trial.user_attrs[FOLDER] for trial in other.study.trials]
    assert owners.count("aaaaaaaa") == 5 and owners.count("bbbbbbbb") == 4
    # What another is at stays its own; what it found that is better is named.
    assert states(other).count("RUNNING") == 1
    assert any("done elsewhere" in note for note in study.moves.notes)
    assert any("is better and lies in host:aaaaaaaa" in note for note in study.moves.notes)
