"""Completion as a shell asks for it."""

import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from compressor.cli.completion import VARIABLE
from compressor.cli.main import COMMANDS, main


def asked(words: str, place: int) -> list[str]:
    """What a bash that has this typed is told."""
    environment = {**os.environ, VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run(
        [sys.executable, "-m", "compressor"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_what_could_follow() -> None:
    assert asked("compress ", 1) == list(COMMANDS)
    assert asked("compress ga", 1) == ["gate"]
    assert "--max-size" in asked("compress gate --max", 2)
    assert asked("compress run --profile server", 3) == ["server-cpu", "server-gpu"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(shell: str) -> None:
    printed = CliRunner().invoke(main, ["completion", shell]).output
    assert VARIABLE in printed
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n"], input=printed, text=True, check=True)


def test_another_shell_is_refused() -> None:
    assert CliRunner().invoke(main, ["completion", "cmd"]).exit_code == 2
