"""A run's folder among the user's own files: what may be written there, and what points to it."""

import contextlib
from pathlib import Path

from compressor.errors import InputError
from compressor.pipeline.cache import DONE, KEY
from compressor.reading import read_text
from compressor.report import LAST, LONGEST_PATH, REPORT, Report
from compressor.writing import write_atomically

PAGE = "report.html"
REFERENCE = "00-reference"


def claim(out: Path) -> None:
    """Refuse a folder in which a run would write over something that no run wrote.

    Raises:
        InputError: ``out`` is no folder, or holds a report that is not a run's.
    """
    hint = "another --out"
    if out.is_symlink() and not out.exists():
        raise InputError(f"--out {out} is a link to nothing", hint)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is not a folder", hint)
    for name in (REPORT, PAGE):
        if (out / name).is_symlink() or ((out / name).exists() and not (out / name).is_file()):
            raise InputError(f"{out / name} is in the way of the run's report", f"move it, or {hint}")
    if any((out / name).exists() for name in (REPORT, PAGE)) and not is_run(out):
        present = next(name for name in (REPORT, PAGE) if (out / name).exists())
        raise InputError(f"{out / present} is not a run's, and would be written over", f"move it, or {hint}")


def is_run(folder: Path) -> bool:
    """Whether a run was begun in a folder, or its report was put there."""
    seeds = (path / REFERENCE for path in folder.glob("seed-*"))
    if any((place / mark).exists() for place in (folder / REFERENCE, *seeds) for mark in (KEY, DONE)):
        return True
    try:
        Report.read(folder / REPORT)
    except InputError:
        return False
    return True


def point_to(out: Path) -> bool:
    """Write ``runs/last`` beside the newest run's folder, which it names.

    Returns:
        Whether it is written; a file or folder of that name that no run wrote is left alone.
    """
    pointer = out.parent / LAST
    text = f"{out}\n"
    if (pointer.exists() or pointer.is_symlink()) and not _is_pointer(pointer):
        return False
    with contextlib.suppress(InputError):
        if read_text(pointer, largest=LONGEST_PATH) == text:
            return True
    write_atomically(pointer, text.encode())
    return True


def _is_pointer(path: Path) -> bool:
    """Whether a file is one line, the path of a folder beside it; the folder itself may be gone since."""
    if path.is_symlink():
        return False
    try:
        line, end, rest = read_text(path, largest=LONGEST_PATH).partition("\n")
    except InputError:
        return False
    named = Path(line)
    if not end or rest or named.name in ("", LAST) or "\0" in line:
        return False
    beside = named.parent.resolve() == path.parent.resolve()
    # Of a bare word it can't be told whether it is a path.
    return is_run(named) if named.parent == Path() else beside
