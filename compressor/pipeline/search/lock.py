"""One process at a time searches in a folder: two would write over one another's stages."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compressor.errors import InputError

try:
    import fcntl
except ImportError:
    # Not on every system; there nothing is held.
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made if need be, until the block ends; the kernel lets go of it where the process dies.

    Raises:
        InputError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).strip()
            raise InputError(
                f"another process searches in this folder (pid {holder or 'unknown'}): {folder.parent}",
                "wait for it, or another --out; several that share trials: compress search --storage postgresql://...",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
