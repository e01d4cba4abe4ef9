"""Two processes that look like one: codes, signals and terminal pass through, and a death is told."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compressor.cli.child import Death

START = """
import ctypes, os, signal, sys, time
from compressor.cli.child import say, watched
def tell(death):
    print(death.reason, death.facts.get('at'), death.line, sep='|')
    return 5
def main(work):
    sys.exit(watched(work, tell))
def slow():
    try:
        print(os.getpid(), flush=True)
        time.sleep(30)
    except KeyboardInterrupt:
        time.sleep(0.1)
        print('stopped', flush=True)
        return 130
    return 0
"""


@contextlib.contextmanager
def slow() -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A process that sleeps for its work, and its child."""
    # A suite that was started in the background hands on that Ctrl-C is ignored.
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", f"{heard}{START}main(slow)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


def end(code: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


@pytest.mark.parametrize("code", [0, 2, 6, 130])
def test_codes_and_output_pass_through(code: int) -> None:
    assert end(f"main(lambda: print('{{}}') or {code})") == (code, "{}\n")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("os._exit(0)", "its code ended the whole process with exit status 0|"),
        ("sys.exit(0)", "its code ended the whole process with exit status 0|"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9 (SIGKILL; out of memory? peak "),
        ("os.abort()", "killed by signal 6 (SIGABRT; peak "),
        ("os.kill(os.getpid(), signal.SIGBUS)", "killed by signal 7 (SIGBUS; peak "),
        ("ctypes.string_at(0)", "killed by signal 11 (SIGSEGV; peak "),
    ],
)
def test_no_end_but_its_own_is_taken_for_one(fault: str, told: str) -> None:
    code, shown = end(f"main(lambda: say(at='02-prune, step 3') or {fault})")
    assert code == 5
    assert shown.startswith(told) and "|02-prune, step 3|" in shown


def test_the_users_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import ctypes\ndef forward():\n    ctypes.string_at(0)\n")
    code, shown = end(f"sys.path.insert(0, {str(tmp_path)!r})\nimport net\nmain(net.forward)")
    assert code == 5
    assert shown.rstrip().endswith(f'File "{tmp_path / "net.py"}", line 3 in forward')


def test_a_fault_after_the_work_is_done_is_none() -> None:
    assert end("import atexit\nmain(lambda: atexit.register(ctypes.string_at, 0) and 6)") == (6, "")


@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["from the terminal", "to the one process"])
def test_interrupted_once(send: Callable[[int, int], None]) -> None:
    with slow() as (process, child):
        send(process.pid, signal.SIGINT)
        shown, _ = process.communicate(timeout=10)
    assert process.returncode == 130
    assert shown == "stopped\n"
    assert gone(child)


def test_terminated_as_one() -> None:
    with slow() as (process, child):
        process.terminate()
        shown, _ = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM
    assert shown == ""
    assert gone(child)


def test_the_work_ends_with_a_killed_parent() -> None:
    with slow() as (process, child):
        process.kill()
        process.wait(timeout=10)
    assert gone(child)


def test_near_the_limit_memory_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressor.cli.child.memory_limit", lambda: 1_000_000_000)
    assert "out of memory?" in Death({}, signal.SIGABRT, -6, 900_000_000, "").reason
    assert "out of memory?" not in Death({}, signal.SIGABRT, -6, 100_000_000, "").reason
