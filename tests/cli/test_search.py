"""``compress search`` as it is typed: what is refused, that no password is shown, and a real one that is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from compressor.cli.main import Root, main
from compressor.pipeline.search.lock import locked
from compressor.report import Report

SECRET = "s3kret"
OPEN = """
[target]
runtime = "onnxruntime"

[budget]
score_drop = 0.9

[[stage]]
kind = "prune"
train = { epochs = 1, batch_size = 128, precision = "fp32" }

[[stage]]
kind = "quantize"
qat = false
measure = false

[[stage]]
kind = "export"
prefer = "size"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "open.toml").write_text(OPEN)
    return tmp_path


def search(*arguments: str | Path) -> Result:
    typed = ["search", "--profile", "open.toml", "--device", "cpu", "--quick", "--out", "run", *map(str, arguments)]
    return CliRunner().invoke(main, typed)


def refused(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and SECRET not in result.output
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://me:s3kret@host/db", "--storage mysql://me:***@host/db: wanted the address of a database"),
        ("postgresql://me:s3kret@host:port/db", "--storage postgresql://me:***@host:port/db: not an address"),
        ("trials.db", "wanted the address of a database"),
        ("sqlite:////nowhere/at/all/trials.db", "can't be reached: unable to open database file"),
    ],
)
def test_a_storage_that_cannot_be(here: Path, digits_checkpoint: Path, address: str, said: str) -> None:
    refused(search(digits_checkpoint, "--storage", address), 2, said)
    assert not (here / "run" / "report.json").exists()


def test_a_server_that_is_not_there(here: Path, digits_checkpoint: Path) -> None:
    result = search(digits_checkpoint, "--storage", "postgresql://me:s3kret@127.0.0.1:1/db?sslpassword=s3kret")
    # Without its driver it can't even be asked.
    if result.exit_code == 4:
        refused(result, 4, "pip install 'compressor[storage]'")
    else:
        refused(result, 2, "the storage postgresql://me:***@127.0.0.1:1/db?sslpassword=*** can't be reached")


@pytest.mark.parametrize(
    "typed",
    [
        ("--storag", "postgresql://me:s3kret@host/db"),
        ("postgresql://me:s3kret@host/db",),
        ("--hours", "postgresql://me:s3kret@host/db"),
    ],
)
def test_a_slip_of_the_keys_shows_no_password(here: Path, digits_checkpoint: Path, typed: tuple[str, ...]) -> None:
    refused(search(digits_checkpoint, *typed), 2)


@pytest.mark.parametrize("trials", ["0", "-3", "many", "2.5"])
def test_trials_that_are_no_number(here: Path, digits_checkpoint: Path, trials: str) -> None:
    refused(search(digits_checkpoint, "--trials", trials), 2, "--trials")


def test_no_goals_and_no_time(here: Path, digits_checkpoint: Path) -> None:
    (here / "open.toml").write_text(OPEN.replace("score_drop = 0.9", ""))
    refused(search(digits_checkpoint), 3, "nothing to search: wanted goals", "--max-drop 0.01")
    (here / "open.toml").write_text(OPEN)
    refused(search(digits_checkpoint, "--hours", "0.0000001"), 3, "too short for one step", "take about", "--hours ")


def test_a_folder_that_is_in_use(here: Path, digits_checkpoint: Path) -> None:
    with locked(here / "run" / "search"):
        refused(search(digits_checkpoint), 2, f"another process searches in this folder (pid {os.getpid()})")


@pytest.mark.slow
def test_a_search_its_baselines_and_the_same_storage_for_something_else(here: Path, digits_checkpoint: Path) -> None:
    stored = ("--trials", "1", "--storage", f"sqlite:///{here}/trials.db")
    result = search(digits_checkpoint, *stored, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [row["name"] for row in report["search"]["baselines"]] == ["fixed profile", "random search"]
    assert "--storage sqlite:///" in report["command"]
    again = search(digits_checkpoint, *stored)
    assert again.exit_code == 0 and "against simpler ways" in again.stdout and "random search" in again.stdout
    refused(search(digits_checkpoint, *stored, "--max-drop", "0.5", "--out", "other"), 2, "a search of other goals")


def test_the_command_that_a_report_names_has_no_password() -> None:
    class OneCommand(Root):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            return click.Command(
                "show",
                callback=click.pass_obj(lambda command, **_: click.echo(command)),
                params=[click.Option(["--storage"])],
            )

    typed = ["show", "--storage", f"postgresql://me:{SECRET}@host/db?sslmode=require"]
    shown = CliRunner().invoke(OneCommand(name="compress", commands_at={"show": ("", "")}), typed).output
    assert shown == "compress show --storage 'postgresql://me:***@host/db?sslmode=require'\n"


@pytest.mark.slow
def test_a_search_that_was_really_killed_goes_on(here: Path, digits_checkpoint: Path) -> None:
    def command(out: str) -> list[str]:
        typed = ["search", "--profile", "open.toml", "--quick", "--device", "cpu", "--trials", "3"]
        return [sys.executable, "-m", "compressor", *typed, str(digits_checkpoint), "--out", out]

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    assert subprocess.run(command("whole"), env=environment, check=False, **quiet).returncode == 0
    longest = time.monotonic() - start
    draws = random.Random(0)
    for _ in range(2):
        process = subprocess.Popen(command("killed"), env=environment, **quiet)
        time.sleep((0.2 + 0.6 * draws.random()) * longest)
        process.send_signal(signal.SIGKILL)
        assert process.wait() in (0, -signal.SIGKILL)
    assert subprocess.run(command("killed"), env=environment, check=False, **quiet).returncode == 0
    whole, killed = (Report.read(here / name / "report.json").search for name in ("whole", "killed"))
    assert whole is not None and killed is not None
    assert [point.made_by for point in killed.front] == [point.made_by for point in whole.front]
    assert [point.score for point in killed.front] == [point.score for point in whole.front]
    assert [row.score_drop for row in killed.baselines] == [row.score_drop for row in whole.baselines]
