"""Pickles: their structure is followed without making an object, and bounded before torch reads them."""

import pickletools
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from compressor.errors import ModelFileError

MOST_OPERATIONS, MOST_VALUES, DEEPEST, LONGEST_INTEGER = 3_000_000, 10_000_000, 200, 128
# A file of torch's format before zip: a magic number, a version, facts about the machine, the object, its storages.
PICKLES_OF_OLD = 5
# What training scripts keep beside the weights. Nothing of theirs is made: an empty object stands in.
FACTS = (
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32", "Bool")),
)
_MARK = -1
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_CHANGES = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"})


class _RefusedError(ValueError):
    """A pickle that is beyond a bound."""


def check_pickles(path: Path, entries: list[zipfile.ZipInfo], trust: bool = False) -> None:
    """Refuse a file whose pickles would grow without end, are nested too deep, or declare memory that isn't there.

    Args:
        path: What ``torch.save`` wrote, in its zip format or the one before.
        entries: Its table of contents; empty for the old format.
        trust: Objects are wanted, and those may be nested deep and hold themselves.

    Raises:
        ModelFileError: With what is wrong.
    """
    hint = "torch.save({'state_dict': module.state_dict()}, path) writes a plain one; or --trust if you made the file"
    try:
        if entries:
            with zipfile.ZipFile(path) as archive:
                for entry in entries:
                    if entry.filename.endswith(".pkl"):
                        with archive.open(entry) as content:
                            _Followed(content).check(None, trust)  # type: ignore[arg-type]
            return
        with path.open("rb") as file:
            for _ in range(PICKLES_OF_OLD):
                _Followed(file).check(path.stat().st_size, trust)
    except _RefusedError as error:
        raise ModelFileError(f"{path}: its pickle {error}", hint) from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelFileError(f"{path} is damaged: {reason}", hint) from None


class _Followed:
    """One pickle as a graph: which value holds which, by number; plain values are kept as they are."""

    def __init__(self, file: BinaryIO) -> None:
        self.holds: list[list[int] | None] = []
        self.values: dict[int, Any] = {}
        self.storages: dict[Any, int] = {}
        stack: list[int] = []
        memo: dict[int, int] = {}
        for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if count > MOST_OPERATIONS:
                raise _RefusedError(f"has more than {MOST_OPERATIONS} operations")
            if isinstance(argument, int) and argument.bit_length() > LONGEST_INTEGER:
                raise _RefusedError(f"has an integer of {argument.bit_length()} bits")
            name = operation.name
            if name == "MARK":
                stack.append(_MARK)
            elif name in _PUTS:
                memo[argument if isinstance(argument, int) else len(memo)] = stack[-1]
            elif name in _GETS:
                stack.append(memo[int(argument or 0)])
            elif name == "DUP":
                stack.append(stack[-1])
            elif name != "STOP":
                self._follow(operation, argument, stack)

    def _follow(self, operation: pickletools.OpcodeInfo, argument: Any, stack: list[int]) -> None:
        taken: list[int] = []
        before = operation.stack_before
        if pickletools.markobject in before:
            while stack[-1] != _MARK:
                taken.append(stack.pop())
            stack.pop()
            before = before[: before.index(pickletools.markobject)]
        taken += [stack.pop() for _ in before]
        taken.reverse()
        if _MARK in taken:
            raise _RefusedError("is not well formed")
        if not operation.stack_after:
            return
        if operation.name in _CHANGES:
            self.holds[taken[0]] = held = self.holds[taken[0]] or []
            held += taken[1:]
            stack.append(taken[0])
            return
        number = len(self.holds)
        self.holds.append(taken or None)
        if not taken:
            self.values[number] = argument
        if operation.name == "BINPERSID":
            self._declared(taken[0])
        stack.append(number)

    def _declared(self, number: int) -> None:
        """Note the size of a storage: ("storage", its type, its key, where it was, how many values)."""
        parts = [self.values.get(part) for part in self.holds[number] or ()]
        if len(parts) >= 5 and isinstance(parts[4], int):
            self.storages[str(parts[2])[:80]] = parts[4]

    def check(self, stored: int | None, trust: bool) -> None:
        """Refuse what would take too long to walk through.

        Args:
            stored: How many bytes the storages can have at most; None where torch compares them itself.
            trust: Take what is nested deep or holds itself.
        """
        if stored is not None and any(not 0 <= size <= stored for size in self.storages.values()):
            raise _RefusedError(f"declares {max(self.storages.values())} values, and the file has {stored} bytes")
        sizes = [0] * len(self.holds)
        depths = [0] * len(self.holds)
        for root in range(len(self.holds)):
            waiting = [root] if not sizes[root] else []
            while waiting:
                number = waiting[-1]
                held = self.holds[number] or ()
                if sizes[number] == 0 and held:
                    # Seen from above, and not yet done: met again from below, it holds itself.
                    sizes[number] = -1
                    if not trust and any(sizes[part] == -1 for part in held):
                        raise _RefusedError("has a value that holds itself")
                    waiting += [part for part in held if sizes[part] == 0]
                    continue
                waiting.pop()
                if sizes[number] > 0:
                    continue
                sizes[number] = 1 + sum(max(0, sizes[part]) for part in held)
                depths[number] = 1 + max((depths[part] for part in held), default=0)
                if sizes[number] > MOST_VALUES:
                    raise _RefusedError(f"stands for more than {MOST_VALUES} values in {len(sizes)}")
                if depths[number] > DEEPEST and not trust:
                    raise _RefusedError(f"is nested more than {DEEPEST} levels deep")


class _Fact:
    """Stands for an object of a training script that nothing here needs."""

    def __init__(self, *parts: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_plain(path: Path) -> Any:
    """What ``torch.save`` wrote, as far as it is tensors and plain values; facts about a training are left empty."""
    with torch.serialization.safe_globals([(_Fact, name) for name in FACTS]):
        return torch.load(path, map_location="cpu", weights_only=True)


def read_trusted(path: Path) -> Any:
    """What ``torch.save`` wrote, objects included: runs their code."""
    with _without_process_groups():
        return torch.load(path, map_location="cpu", weights_only=False)


@contextmanager
def _without_process_groups() -> Iterator[None]:
    """Read a DistributedDataParallel as a plain module: it would ask for the process group of its training."""
    own = DistributedDataParallel.__setstate__
    DistributedDataParallel.__setstate__ = nn.Module.__setstate__  # type: ignore[method-assign]
    try:
        yield
    finally:
        DistributedDataParallel.__setstate__ = own  # type: ignore[method-assign]


def unwrapped(module: nn.Module) -> tuple[nn.Module, str]:
    """A network without what trained it in parallel, averaged or compiled it; and what was taken off, in words."""
    taken = []
    while True:
        if isinstance(module, (nn.DataParallel, DistributedDataParallel, AveragedModel)):
            taken.append(type(module).__name__)
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            taken.append("torch.compile")
            module = inner
        else:
            return module, f"{' and '.join(taken)} around the network was taken off" if taken else ""
