"""Progress on standard error: a live line on a terminal, one line an epoch elsewhere."""

import sys
import time
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from compressor.cli.child import say
from compressor.cli.printed import clean
from compressor.context import Progress

PLAIN_SECONDS = 60.0
BAR = 20


class Display(Protocol):
    """Shows progress reports between ``with`` and its end."""

    def __enter__(self) -> Self:
        """Start."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show what is left to show."""
        ...

    def __call__(self, progress: Progress) -> None:
        """Show one report."""
        ...


def progress_display() -> Display:
    """The display for this process's standard error; where the work is, is said to the process that watches too."""
    return Told(LiveDisplay() if sys.stderr.isatty() else PlainDisplay())


def place_only(progress: Progress) -> None:
    """Say where the work is to the process that watches, and show nothing."""
    say(at=place(progress))


class Told:
    """Hands reports on to a display, and says where the work is. A report without a count is for the latter alone."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def __enter__(self) -> Self:
        """Start the display."""
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._display.__exit__(kind, error, trace)

    def __call__(self, progress: Progress) -> None:
        """Say and show one report."""
        place_only(progress)
        if progress.message or progress.steps:
            self._display(progress)


def describe(progress: Progress) -> str:
    """A report in words: epoch, loss, score, throughput, time left."""
    parts = [progress.what]
    if progress.epochs:
        parts.append(f"epoch {progress.epoch}/{progress.epochs}")
    if progress.message:
        parts.append(progress.message)
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.4f}")
    if progress.score is not None:
        parts.append(f"score {progress.score:.4f}")
    if progress.samples_per_second is not None:
        parts.append(f"{progress.samples_per_second:.0f} samples/s")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return clean("  ".join(parts))


def place(progress: Progress) -> str:
    """A report as a place in the work: ``02-prune recover, epoch 1 of 2, step 3 of 16``."""
    parts = [progress.what]
    if progress.epochs:
        parts.append(f"epoch {progress.epoch} of {progress.epochs}")
    if progress.steps:
        parts.append(f"step {progress.step} of {progress.steps}")
    if progress.message:
        parts.append(progress.message)
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """``75`` as ``1:15``, ``3700`` as ``1:01:40``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class PlainDisplay:
    """Lines for logs: the last report of each epoch, each message once, and a sign of life every minute."""

    def __init__(self) -> None:
        self._pending: Progress | None = None
        self._shown = time.monotonic()

    def __enter__(self) -> Self:
        """Nothing to start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The last epoch's line."""
        self._flush()

    def __call__(self, progress: Progress) -> None:
        """Print the previous epoch's last report once the next one starts; messages at once."""
        pending = self._pending
        if pending is not None and (pending.what, pending.epoch) != (progress.what, progress.epoch):
            self._flush()
        if progress.message or time.monotonic() - self._shown > PLAIN_SECONDS:
            self._pending = None
            self._print(progress)
        else:
            self._pending = progress

    def _flush(self) -> None:
        if self._pending is not None:
            self._print(self._pending)
        self._pending = None

    def _print(self, progress: Progress) -> None:
        click.echo(describe(progress), err=True)
        self._shown = time.monotonic()


class LiveDisplay:
    """One line that is redrawn, with a bar; a finished training or a message stays above it."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), transient=True, refresh_per_second=4)
        self._last: Progress | None = None

    def __enter__(self) -> Self:
        """Start drawing."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last training's line on the screen."""
        self._keep()
        self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Redraw."""
        if progress.message:
            self._keep()
            self._live.console.print(Text(describe(progress)))
            return
        if self._last is not None and self._last.what != progress.what:
            self._keep()
        self._last = progress
        share = progress.step / progress.steps if progress.steps else 0.0
        filled = round(share * BAR)
        bar = f"[{'#' * filled}{'.' * (BAR - filled)}] "
        self._live.update(Text(bar + describe(progress), overflow="ellipsis", no_wrap=True))

    def _keep(self) -> None:
        if self._last is not None:
            self._live.console.print(Text(describe(self._last)))
            self._live.update(Text(""))
        self._last = None
