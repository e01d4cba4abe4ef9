"""The entry point: help, and how each way to end becomes a message and an exit code."""

import errno
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from compressor.cli.main import COMMANDS, Root, main
from compressor.errors import BudgetError, DivergedError, InputError, MissingError, PlanError, ProfileError

GOLDEN = Path(__file__).with_name("golden")


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "compressor", *arguments], capture_output=True, text=True, check=False)


def end_with(error: BaseException) -> Result:
    class OneCommand(Root):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            def fail() -> None:
                raise error

            return click.Command("fail", callback=fail)

    return CliRunner().invoke(OneCommand(name="compress", commands_at={"fail": ("", "")}), ["fail"])


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_what_users_see(command: str) -> None:
    """After a wanted change: UPDATE_GOLDEN=1 pytest tests/cli/test_main.py."""
    golden = GOLDEN / f"help{'-' * bool(command)}{command}.txt"
    shown = CliRunner().invoke(main, [*filter(None, [command]), "--help"], terminal_width=100).output
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(shown)
    assert shown == golden.read_text()


def test_help_imports_no_torch_and_is_quick() -> None:
    code = (
        "import sys\nfrom compressor.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(bool({'torch', 'pydantic', 'rich', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        assert process("--help").returncode == 0
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("what", "next"), 2),
        (ProfileError("what", "next"), 2),
        (PlanError("what", "next"), 3),
        (BudgetError("what", 0.1, "next"), 3),
        (MissingError("what", "next"), 4),
        (DivergedError("what", "next"), 5),
    ],
)
def test_errors_end_with_their_code_and_the_next_thing_to_type(error: Exception, code: int) -> None:
    result = end_with(error)
    assert result.exit_code == code
    assert result.stderr == "error: what\n  try: next\n"
    assert result.stdout == ""


def test_interrupt_ends_with_130() -> None:
    result = end_with(KeyboardInterrupt())
    assert result.exit_code == 130
    assert "run again to go on" in result.stderr


def test_disk_full_is_a_stage_error_and_denied_an_input_error() -> None:
    full = end_with(OSError(errno.ENOSPC, "No space left on device", "runs/x/model.onnx"))
    assert full.exit_code == 5 and "no space left on the device while writing runs/x/model.onnx" in full.stderr
    denied = end_with(PermissionError(errno.EACCES, "Permission denied", "/out"))
    assert denied.exit_code == 2 and "Permission denied: /out" in denied.stderr
    assert "Traceback" not in full.stderr + denied.stderr


def test_bugs_show_a_traceback() -> None:
    result = end_with(ZeroDivisionError("oops"))
    assert result.exit_code == 1
    assert "Traceback" in result.stderr and "oops" in result.stderr and "bug" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "no command 'rnu'; did you mean 'run'?"),
        (["run", "model.pt"], "Missing option '--profile'"),
        (["run", "--profile", "mobile-cpu"], "Missing argument 'MODEL'"),
        (["run", "--profile", "mobile-cpu", "m.pt", "--seeds", "many"], "'many' is not a valid integer"),
        (["run", "--profile", "mobile-cpu", "m.pt", "--quik"], "Did you mean '--quick'?"),
    ],
)
def test_what_was_typed_wrong_ends_with_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_as_a_process(tmp_path: Path) -> None:
    done: Any = process("profiles", "check", str(tmp_path / "not-there.toml"))
    assert done.returncode == 2
    assert done.stdout == "" and "no profile" in done.stderr and "Traceback" not in done.stderr
    assert process("--version").returncode == 0
