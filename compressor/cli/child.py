"""The process that does a command's work, and the one that watches it and can still speak when it dies.

A fault in native code, or the kernel short of memory, ends a process without a word. So the command forks
before anything heavy is imported: the child works, on the same terminal; the parent waits, passes signals
on, and says what became of a child that didn't come to its own end.
"""

import faulthandler
import json
import mmap
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from compressor.errors import ExitCode
from compressor.memory import memory_limit, peak_of, resident_bytes
from compressor.user_code import is_installed

BOARD_BYTES = 4096
# A key on the terminal reaches parent and child, and the parent passes it on: twice within this is once.
TWICE_SECONDS = 0.5
PASSED_ON = (signal.SIGINT, signal.SIGTERM)
# Sent by someone who wants the command to end; anything else that kills is a fault of its own.
ASKED_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
DIE_WITH_PARENT = 1
# Whoever used more than this share of what there is may have asked for more than the rest.
NEAR = 0.8


@dataclass
class Board:
    """Where the child is, in memory that both processes see: a JSON object, and whether the work was finished.

    The first byte is 0 until the work is finished, then its exit code plus 1.
    """

    shared: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, BOARD_BYTES))

    def write(self, facts: dict[str, Any]) -> None:
        """Replace what is known: the child's side."""
        text = json.dumps(facts).encode()
        if len(text) < BOARD_BYTES - 1:
            self.shared[1 : len(text) + 2] = text + b"\0"

    def read(self) -> dict[str, Any]:
        """What was known last: the parent's side. Empty where the child died while it wrote."""
        text = bytes(self.shared[1:]).partition(b"\0")[0]
        try:
            facts: dict[str, Any] = json.loads(text or b"{}")
        except ValueError:
            return {}
        return facts

    def finish(self, code: int) -> None:
        """Hand over the exit code."""
        self.shared[0] = code + 1

    @property
    def finished(self) -> int | None:
        """The exit code, once the work is finished."""
        return self.shared[0] - 1 if self.shared[0] else None


@dataclass(frozen=True, slots=True)
class Death:
    """A child that didn't finish.

    Args:
        facts: What it had said of itself, see ``say``.
        signal: What killed it; None where something in it ended the process.
        code: The exit status in that case.
        peak: Its resident memory at the highest, in bytes.
        trace: Where its threads stood, as ``faulthandler`` writes it.
    """

    facts: dict[str, Any]
    signal: int | None
    code: int
    peak: int
    trace: str

    @property
    def reason(self) -> str:
        """In words: ``killed by signal 11 (SIGSEGV; peak 0.4 GB of 8.0 GB)``."""
        if self.signal is None:
            return f"its code ended the whole process with exit status {self.code}"
        limit = memory_limit()
        is_doubtful = self.signal == signal.SIGKILL or (limit is not None and self.peak > NEAR * limit)
        doubt = "; out of memory?" if is_doubtful else ";"
        return f"killed by signal {self.signal} ({_name(self.signal)}{doubt} {peak_of(self.peak)})"

    @property
    def line(self) -> str:
        """The innermost line of code that is neither Python's, ours nor an installed package's; empty without."""
        # The thread at fault is called the current one, and its calls end at an empty line.
        for line in self.trace.partition("Current thread")[2].splitlines()[1:]:
            if line.strip() and not line.startswith("  File"):
                break
            if not is_installed(line):
                return line.strip()
        return ""


_board: Board | None = None
_facts: dict[str, Any] = {}


def say(**facts: str) -> None:
    """Tell the process that watches this one where it is; nothing where none does.

    Args:
        facts: ``at``: stage and step; ``out``: the run's folder.
    """
    _facts.update(facts)
    if _board is not None:
        _board.write(_facts)


def where() -> str:
    """What ``say`` was told last about stage and step."""
    return str(_facts.get("at", ""))


def can_watch() -> bool:
    """Whether a child can be forked here: nothing with threads of its own has been imported yet."""
    return hasattr(os, "fork") and "torch" not in sys.modules and threading.active_count() == 1


def watched(work: Callable[[], int], tell: Callable[[Death], int]) -> int:
    """Do work in a child; in both processes the exit code is returned.

    Args:
        work: What the child does; it raises nothing.
        tell: What the parent does about a child that died; gives the exit code.
    """
    global _board
    _facts["since"] = str(time.time())
    sys.stdout.flush()
    sys.stderr.flush()
    board, parent = Board(), os.getpid()
    with tempfile.TemporaryFile() as trace:
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        child = os.fork()
        if child:
            return _wait(child, board, trace, tell)
        _end_with(parent)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _once())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        faulthandler.enable(trace)
        _board = board
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
        board.finish(code)
        faulthandler.disable()
    return code


def _wait(child: int, board: Board, trace: BinaryIO, tell: Callable[[Death], int]) -> int:
    """Wait for the child and give its exit code, or what ``tell`` makes of its death."""
    for number in PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    _, status, usage = os.wait4(child, 0)
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_DFL)
    code = os.waitstatus_to_exitcode(status)
    if board.finished is not None:
        return code if code >= 0 else board.finished
    if code == -signal.SIGINT:
        return ExitCode.INTERRUPTED
    if -code in ASKED_TO_END:
        # As if there had been no second process: whoever waits for this one sees the signal.
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    trace.seek(0)
    written = trace.read().decode(errors="replace")
    return tell(Death(board.read(), -code if code < 0 else None, code, resident_bytes(usage), written))


def _end_with(parent: int) -> None:
    """See that this process ends when its parent is killed."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(ExitCode.INTERRUPTED)
        return

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(ExitCode.INTERRUPTED)

    threading.Thread(target=look, daemon=True).start()


def _once() -> Callable[[int, Any], None]:
    """A handler of SIGINT that raises ``KeyboardInterrupt``, and takes a second one right after it for the same."""
    last = [-TWICE_SECONDS]

    def handle(number: int, frame: Any) -> None:
        now = time.monotonic()
        again, last[0] = now - last[0] < TWICE_SECONDS, now
        if not again:
            raise KeyboardInterrupt

    return handle


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
