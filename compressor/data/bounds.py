"""What is read of a data file that someone else wrote: how much it may unpack to, and its parser's errors as ours."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from compressor import memory
from compressor.errors import CompressError, DataError

# Of the machine's memory; a network has to be trained in the rest.
SHARE = 0.5
# Where the system doesn't say how much there is.
USUAL_MEMORY = 8_000_000_000
# Photos, texts and arrays of them are packed to a tenth or a hundredth; files that are made to burst to a thousandth.
MOST_PACKED = 200
NO_BOMB = 100_000_000
MOST_ROWS = 50_000_000


def check_size(shape: Sequence[int], itemsize: int, what: str, hint: str) -> int:
    """The bytes of an array, before anything of it is allocated.

    Args:
        shape: As declared.
        itemsize: Bytes of a value.
        what: Names the array and where it is declared.
        hint: What to type next.

    Raises:
        DataError: It is larger than half of this machine's memory, or a side is negative.
    """
    size = math.prod(shape) * itemsize
    if any(side < 0 for side in shape):
        raise DataError(f"{what}: shape {tuple(shape)} has a negative side", hint)
    check_bytes(size, what, hint)
    return size


def check_bytes(size: int, what: str, hint: str) -> None:
    """Refuse what wouldn't fit in memory.

    Raises:
        DataError: More than half of this machine's memory.
    """
    most = int((memory.memory_limit() or USUAL_MEMORY) * SHARE)
    if size > most:
        raise DataError(f"{what} would take {size / 1e9:.3g} GB, wanted at most {most / 1e9:.3g} on this machine", hint)


def check_unpacked(size: int, packed: int, what: str, hint: str) -> None:
    """Refuse a packed file that is made to burst, by what it declares.

    Raises:
        DataError: It would unpack to more than memory holds, or to more than such files ever do.
    """
    check_bytes(size, what, hint)
    if size > NO_BOMB and size > MOST_PACKED * packed:
        raise DataError(
            f"{what} would unpack from {packed / 1e6:.3g} MB to {size / 1e6:.3g}, {size // max(1, packed)} times as "
            f"much; wanted at most {MOST_PACKED} times",
            hint,
        )


@contextmanager
def parsed_as(kind: str, path: Path, hint: str) -> Iterator[None]:
    """Around a library that parses a file: whatever it raises says that the file isn't of its kind.

    What a parser can raise of a hostile file isn't listed anywhere, its lack of memory included.

    Raises:
        DataError: Naming the file and the parser's reason.
    """
    try:
        yield
    except CompressError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"{path} can't be read as {kind}: {reason[:300]}", hint) from None
