"""How much memory a process has taken, how much it may take, and which errors mean that there was no more."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

KIBI = 1024
MEMORY_INFO = Path("/proc/meminfo")
OWN_STATUS = Path("/proc/self/status")
OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")
# Beyond this a limit is none: version 1 of control groups writes the largest number of pages.
NO_LIMIT = 1 << 60
# What torch, CUDA and the standard library say where there is no memory left; none has a class of its own for it.
SAID = ("can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc", "not enough memory")


def peak_memory() -> int:
    """This process's resident memory at its highest so far, in bytes."""
    if OWN_STATUS.exists():
        # A process starts with the usage of the one that started it, which this figure leaves out.
        return _in_table(OWN_STATUS, "VmHWM")
    return resident_bytes(resource.getrusage(resource.RUSAGE_SELF))


def resident_bytes(usage: resource.struct_rusage) -> int:
    """The highest resident memory of a ``getrusage`` or ``wait4``, which Linux counts in KiB and macOS in bytes."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else KIBI)


def memory_limit() -> int | None:
    """What this process may take at most, in bytes: the machine's memory, or less where a control group says so."""
    limits = [*_machine(), *_groups()]
    return min(limits) if limits else None


def address_space() -> tuple[int, int] | None:
    """The most address space that this process had, and its limit (``ulimit -v``); None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or not OWN_STATUS.exists():
        return None
    return _in_table(OWN_STATUS, "VmPeak"), limit


def of_limit() -> str:
    """``peak 1.2 GB of 8.0 GB`` of this process, against whichever limit it was nearer to."""
    bounded = address_space()
    if bounded is not None:
        return f"peak {gigabytes(bounded[0])} of the {gigabytes(bounded[1])} of address space that ulimit -v allows"
    return peak_of(peak_memory())


def peak_of(peak: int) -> str:
    """``peak 1.2 GB of 8.0 GB``, of a process with this one's limits."""
    limit = memory_limit()
    return f"peak {gigabytes(peak)}" + (f" of {gigabytes(limit)}" if limit else "")


def gigabytes(size: int) -> str:
    """``1.2 GB``, of 10^9 bytes."""
    return f"{size / 1e9:.1f} GB"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was made from, says that no memory was left."""
    return any(isinstance(one, MemoryError) or _says_so(one) for one in _chain(error))


def _says_so(error: BaseException) -> bool:
    text = str(error).lower()
    return any(words in text for words in SAID)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _machine() -> list[int]:
    return [_in_table(MEMORY_INFO, "MemTotal")] if MEMORY_INFO.exists() else []


def _in_table(path: Path, name: str) -> int:
    """A line such as ``MemTotal:  16384 kB``, in bytes; 0 where there is none."""
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * KIBI
    return 0


def _groups() -> list[int]:
    """The limits of the control groups that this process is in, of version 2 or 1."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, name = (GROUPS / "memory", "memory.limit_in_bytes") if controllers else (GROUPS, "memory.max")
        own = root / path.lstrip("/")
        # In a container the path is often the host's, and the mounted root is the group itself.
        for folder in {own, *(parent for parent in own.parents if parent.is_relative_to(root)), root}:
            found += _number_in(folder / name)
    return [limit for limit in found if 0 < limit < NO_LIMIT]


def _number_in(path: Path) -> list[int]:
    try:
        text = path.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdigit() else []
