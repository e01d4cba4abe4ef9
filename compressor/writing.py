"""Files that are whole or absent."""

import errno
import os
from pathlib import Path

from compressor.errors import DiskFullError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there, so that it is whole or absent.

    Raises:
        DiskFullError: No space left; the partial file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may write the same file, as two runs side by side do with what points to the newest.
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            message = f"no space left to write {path} ({len(content) / 1e6:.1f} MB)"
            raise DiskFullError(message, "free some space and run the same command again") from error
        raise
