"""Where trials are kept: addresses, whose study it is, what is said of a storage that doesn't answer."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compressor.copies import copy_of
from compressor.errors import CompressError, InputError, MissingError
from compressor.extras import require
from compressor.models import TorchModel
from compressor.pipeline import Job
from compressor.pipeline.search.storage import JOURNAL, check_address, digests, open_study
from compressor.target import Goals

MakeJob = Callable[..., Job]
SECRET = "s3kr:t@"
AT = f"postgresql://me:{SECRET.replace('@', '%40')}@127.0.0.1:1/trials"


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    made = make_job(budget=Goals(score_drop=0.5), trials=3)
    (made.out / "search").mkdir(parents=True)
    return made


def has_psycopg() -> bool:
    try:
        require("psycopg")
    except (MissingError, ImportError):
        return False
    return True


@pytest.mark.parametrize(
    "address",
    [
        "trials.db",
        "postgresql://me:a@s3kr:t@@h/db",
        "mysql://me:s3kr:t@@h/db",
        "postgresql://me:s3kr:t@@h:port/db",
        "sqlite://",
        "sqlite:///:memory:",
        " ",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(InputError, match="--storage") as told:
        check_address(address)
    assert SECRET not in str(told.value) and "s3kr" not in str(told.value)


def test_a_storage_that_does_not_answer(job: Job) -> None:
    wanted = InputError if has_psycopg() else MissingError
    with pytest.raises(wanted) as told:
        open_study(replace(job, storage=AT), job.stages)
    assert "s3kr" not in str(told.value)
    if wanted is InputError:
        assert "postgresql://me:***@127.0.0.1:1/trials can't be reached" in told.value.message
    else:
        assert told.value.hint == "pip install 'compressor[storage]'"
    with pytest.raises(InputError, match=r"the storage sqlite:///.* can't be reached: unable to open"):
        open_study(replace(job, storage="sqlite:////nowhere/at/all/trials.db"), job.stages)


def test_a_file_that_is_no_database(job: Job, tmp_path: Path) -> None:
    (tmp_path / "trials.db").write_bytes(b"something else" * 100)
    with pytest.raises(InputError, match="file is not a database"):
        open_study(replace(job, storage=f"sqlite:///{tmp_path / 'trials.db'}"), job.stages)


def test_a_database_that_is_lost_meanwhile(job: Job, tmp_path: Path) -> None:
    opened = open_study(replace(job, storage=f"sqlite:///{tmp_path / 'trials.db'}"), job.stages)
    with sqlite3.connect(tmp_path / "trials.db") as database:
        for name in ("trials", "study_user_attributes"):
            database.execute(f"DROP TABLE {name}")
    with pytest.raises(InputError, match="can't be reached: no such table"), opened.reached():
        opened.study.ask()


def test_a_journal_is_the_default_and_is_known_again(job: Job) -> None:
    first = open_study(job, job.stages)
    assert (job.out / "search" / JOURNAL).is_file() and not first.is_shared
    again = open_study(job, job.stages)
    assert again.folder == first.folder and len(first.folder) == 32
    assert again.study.user_attrs == digests(job, job.stages)
    # More time or trials make no other search of it.
    goals = job.profile.budget.model_copy(update={"hours": 3.0})
    open_study(replace(job, trials=99, profile=replace(job.profile, budget=goals)), job.stages)


def test_a_journal_with_rubbish_in_it(job: Job) -> None:
    (job.out / "search" / JOURNAL).write_text("not a journal\nat all\n")
    with pytest.raises(InputError, match=r"journal\.log can't be used"):
        open_study(job, job.stages)


def retrained(job: Job) -> TorchModel:
    module = copy_of(job.model.module)
    for parameter in module.parameters():
        parameter.data += 0.01
    return replace(job.model, module=module)


@pytest.mark.parametrize("stored", ["", "sqlite:///{}/trials.db"])
@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("space", lambda job: replace(job, seed=7)),
        ("model", lambda job: replace(job, model=retrained(job))),
        ("data", lambda job: replace(job, data=replace(job.data, fingerprint="other"))),
        ("goals", lambda job: replace(job, profile=replace(job.profile, budget=Goals(score_drop=0.1)))),
    ],
)
def test_a_storage_of_something_else(job: Job, tmp_path: Path, stored: str, named: str, change: Any) -> None:
    job = replace(job, storage=stored.format(tmp_path))
    open_study(job, job.stages)
    changed = change(job)
    with pytest.raises(CompressError) as told:
        open_study(changed, changed.stages)
    assert told.value.message.endswith(f"holds a search of other {named}")
    assert told.value.exit_code == 2
    assert ("another --storage" if stored else "--fresh") in told.value.hint


def test_other_stages_are_another_space(job: Job) -> None:
    open_study(job, job.stages)
    with pytest.raises(InputError, match="of other space\n"):
        open_study(job, job.stages[:1])
