"""Every way a command can end, as an exception with an exit code and the next thing to type.

    CompressError                 never raised itself
    ├── InputError          2     what was typed, or a file that was given, is wrong
    │   ├── ModelFileError        a model file can't be read, or doesn't say what it is
    │   ├── UntrustedError        reading the file would run code from it
    │   ├── DataError             the data can't be read, or doesn't fit the model
    │   └── ProfileError          a profile has faults (all of them are listed)
    ├── PlanError           3     the parts are right, but the plan can't work
    │   └── BudgetError           no setting reaches the budget; holds the smallest reachable value
    ├── MissingError        4     an extra or a device that isn't here
    └── StageError          5     a stage failed; what was done before it is kept
        ├── DivergedError         the loss became non-finite; the last good weights are kept
        ├── OutOfMemoryError      the machine, or a limit, has no more
        └── DiskFullError         no space left; the partial file was removed

Anything else that reaches the command line is a bug and ends with 1; Ctrl-C ends with 130.
"""

import difflib
from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process's exit status means."""

    DONE = 0
    BUG = 1
    INPUT = 2
    PLAN = 3
    MISSING = 4
    STAGE = 5
    BUDGET_MISSED = 6
    INTERRUPTED = 130


class CompressError(Exception):
    """An error that the user can act on.

    Args:
        message: What went wrong: what, where, got, wanted. One or a few lines, no trailing stop needed.
        hint: The next thing to type or to change; printed on a line of its own.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  try: {self.hint}" if self.hint else self.message


class InputError(CompressError):
    """What was typed, or a file that was given, is wrong."""

    exit_code = ExitCode.INPUT


class ModelFileError(InputError):
    """A model file can't be read, or doesn't say what it is."""


class UntrustedError(InputError):
    """Reading the file, or importing what it names, would run code from it."""


class DataError(InputError):
    """The data can't be read, or doesn't fit the model."""


class ProfileError(InputError):
    """A profile has faults; the message lists all of them."""


class PlanError(CompressError):
    """The parts are right, but the plan can't work."""

    exit_code = ExitCode.PLAN


class BudgetError(PlanError):
    """No setting reaches the budget.

    Args:
        message: What was asked and what was tried.
        smallest: The smallest value that can be reached, in the budget's own unit.
        hint: The next thing to type.
    """

    def __init__(self, message: str, smallest: float, hint: str = "") -> None:
        super().__init__(message, hint)
        self.smallest = smallest


class MissingError(CompressError):
    """An optional dependency or a device that isn't here."""

    exit_code = ExitCode.MISSING


class StageError(CompressError):
    """A stage failed; the stages before it are kept and reused."""

    exit_code = ExitCode.STAGE


class DivergedError(StageError):
    """The loss became non-finite; the last good weights are kept."""


class OutOfMemoryError(StageError):
    """No memory was left; the stages before are kept."""


class DiskFullError(StageError):
    """No space left on the device; the partial file was removed."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause like ``; did you mean 'prune'?`` for the nearest known word, else an empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""
