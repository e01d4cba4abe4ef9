"""The user's own code as it is called from here: what it raises, or ends the process with, names its line."""

import linecache
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from compressor.errors import CompressError, InputError

INSTALLED = ("site-packages", "dist-packages", "lib/python", "<frozen ", "<eval_with_key>", str(Path(__file__).parent))

# As torch writes the frames of a failed capture into its message.
FRAME = re.compile(r'File "([^"\n]+)", line (\d{1,9})')


def is_installed(path: str) -> bool:
    """Whether a path, or a line with one, is Python's, ours or an installed package's."""
    return any(part in path for part in INSTALLED)


def line_of(error: BaseException) -> str:
    """The innermost line of the user's own that an error came through, as ``net.py:3: return x.view(1)``.

    Empty where it came through none.
    """
    return next((_shown(file, number) for file, number in _behind(error) if not is_installed(file)), "")


def _behind(error: BaseException) -> Iterator[tuple[str, int]]:
    """Files and lines, innermost first: of the first cause, of what it became, then of those that messages name."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    for one in reversed(chain):
        yield from reversed(list(_frames(one.__traceback__)))
    for one in chain:
        yield from ((file, int(number)) for file, number in reversed(FRAME.findall(str(one))) if Path(file).is_file())


def _shown(file: str, number: int) -> str:
    code = linecache.getline(file, number).strip()
    return f"{file}:{number}" + (f": {code}" if code else "")


def reason_of(error: BaseException) -> str:
    """An error in words: its kind, the first line of what it says, and the user's line.

    Of constraints that torch.export finds violated the first line names none: the first of those listed is taken.
    """
    lines = str(error).strip().splitlines() or [""]
    listed = [line.strip(" -") for line in lines if line.startswith("  - ")]
    said = listed[0] if listed and lines[0].startswith("Constraints violated") else lines[0]
    kind = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else type(error).__name__
    text = kind if isinstance(error, SystemExit) or not said else f"{kind}: {said}"
    line = line_of(error)
    return f"{text} at {line}" if line else text


@contextmanager
def called(what: str, hint: str, error: type[CompressError] = InputError, among_ours: bool = False) -> Iterator[None]:
    """Around a call into code that isn't ours: whatever it raises becomes one of our errors, with its line.

    An interrupt from the keyboard stays one; one that the code itself raises doesn't.

    Args:
        what: What is called and that it fails, in words.
        hint: What to type next.
        error: Which error to raise.
        among_ours: Code of ours runs too, whose faults are left as they are: only what came through a line of the
            user's, or ends the process, is turned.
    """
    try:
        yield
    except (CompressError, GeneratorExit, MemoryError):
        raise
    except KeyboardInterrupt as fault:
        if not _raised_by_hand(fault):
            raise
        raise error(f"{what}: {reason_of(fault)}", hint) from fault
    except BaseException as fault:
        if among_ours and not isinstance(fault, SystemExit) and not line_of(fault):
            raise
        raise error(f"{what}: {reason_of(fault)}", hint) from fault


def _raised_by_hand(error: BaseException) -> bool:
    frames = list(_frames(error.__traceback__))
    return bool(frames) and linecache.getline(*frames[-1]).lstrip().startswith("raise ")


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    for frame, number in traceback.walk_tb(trace):
        yield frame.f_code.co_filename, number
