"""What every experiment tracker does for a run, and what is told of one that can't."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from compressor.passwords import masked

# Experiment, project: where a tracker puts runs that nobody named a place for.
PROJECT = "compressor"
Ending = Literal["finished", "failed", "interrupted"]
# So long a server may take, in seconds, before it counts as gone.
PATIENCE = 10
# What not all of them take in the name of a value.
FOREIGN = re.compile(r"[^\w\-. /]")


class Tracker:
    """One tool that keeps runs. Nothing is written there before ``start``.

    Args:
        folder: The run's: where files go, and what the run is called.

    Attributes:
        module: The package it needs.
        address: Where runs go, as it may be shown.
    """

    module: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.title = folder.absolute().name
        self.address = ""
        self.inner: Any = None

    def check(self) -> None:
        """Find out, within seconds, whether runs can be kept there; writes nothing.

        Raises:
            MissingError: A package or the server isn't there.
            InputError: It can't be used as it is set up.
        """

    def start(self, known: str) -> str:
        """Open a run.

        Args:
            known: One that was opened before and is to go on; empty for a new one.

        Returns:
            What to give as ``known`` the next time. A ``known`` that is gone becomes a new run of another name.
        """
        raise NotImplementedError

    def parameters(self, values: Mapping[str, str]) -> None:
        """Keep what the run was asked for."""
        self.inner.store_init_configuration(dict(values))

    def log(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Keep numbers as ``group/name`` at a step, an epoch from 1 or the place of a stage."""
        self.inner.log({key_of(group, name): value for name, value in values.items()}, step=step)

    def summary(self, values: Mapping[str, float], text: str, parameters: Mapping[str, str]) -> None:
        """Keep what the whole run came to: numbers, and a table in Markdown."""
        self.log("final", values, 0)

    def files(self, paths: Mapping[str, Path]) -> None:
        """Keep files under these names, where the tool keeps files."""

    def end(self, how: Ending) -> None:
        """Close the run."""
        self.inner.finish()


def told(error: BaseException) -> str:
    """The first line of what an error says, short, without passwords."""
    lines = masked(str(error)).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def key_of(group: str, name: str) -> str:
    """``group/name`` in signs that every tracker takes; of the name ``*`` all of a group."""
    if name == "*":
        return f"{FOREIGN.sub('_', group)}/*"
    return FOREIGN.sub("_", f"{group}/{name}")
