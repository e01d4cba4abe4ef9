"""What a run says of itself, handed to its trackers: once each, over interruptions too, and never at its cost."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from compressor.context import Progress, ShowProgress
from compressor.digests import file_digest, seal
from compressor.errors import InputError
from compressor.reading import read_json
from compressor.training.tracker import Ending, Tracker, told
from compressor.training.trackers import open_trackers
from compressor.writing import write_atomically

# In the run's folder: which run of which tracker is this one's, and what it holds already.
NAME = "tracking.json"
# Of an epoch: what differs where it is trained again to the same bits.
CLOCKED = "seconds"


@dataclass
class _Kept:
    """What one tracker holds.

    Args:
        at: The tracker's address.
        of: Digest of the run's parameters; with others, it is another run.
        run: The tracker's own name of it; empty before anything was logged.
        logged: Digests of what was logged, in the order of their steps, by group.
    """

    at: str
    of: str
    run: str = ""
    logged: dict[str, list[str]] = field(default_factory=dict)


class Tracking:
    """The trackers of one run. One that fails is left out from then on, and named in ``notes``.

    Args:
        trackers: By name, checked.
        folder: The run's.
        parameters: What the run was asked for, by which it is known again.
        made_on: What it runs on; on another machine it is the same run still.
        say: Where it is said that a tracker failed.
        fresh: Whether this is another run than what was tracked before with the same parameters.
    """

    def __init__(
        self,
        trackers: Mapping[str, Tracker],
        folder: Path,
        parameters: Mapping[str, str],
        made_on: Mapping[str, str],
        say: Callable[[str], None],
        fresh: bool = False,
    ) -> None:
        self.notes: list[str] = []
        self._trackers, self._parameters, self._say = dict(trackers), {**parameters, **made_on}, say
        self._started: set[str] = set()
        self._now: dict[tuple[str, str], str] = {}
        self._path = folder / NAME
        of = seal(dict(parameters))
        self._kept = {} if fresh else _read(self._path)
        for name, tracker in self._trackers.items():
            kept = self._kept.get(name)
            if kept is None or (kept.at, kept.of) != (tracker.address, of):
                self._kept[name] = _Kept(tracker.address, of)

    def follow(self, progress: ShowProgress, prefix: str = "") -> ShowProgress:
        """Where reports go, so that every finished epoch is logged too, as ``<prefix><what>/<name>``."""
        if not self._trackers:
            return progress

        def show(event: Progress) -> None:
            progress(event)
            if event.row is not None:
                group = prefix + event.what.replace(" ", "/")
                row = {"validation_score" if name == "score" else name: value for name, value in event.row.items()}
                self._log(group, row, event.epoch, training=True)

        return show

    def log(self, group: str, values: Mapping[str, float], step: int = 1) -> None:
        """Log numbers of a group at a step from 1, unless they are there."""
        self._log(group, values, step)

    def finish(self, values: Mapping[str, float], text: str, files: Mapping[str, Path]) -> None:
        """Log what the run came to, and its files, unless they are there.

        Args:
            values: Numbers of the whole run.
            text: A table in Markdown.
            files: By the names they get.
        """
        if not self._trackers:
            return

        def summarise(tracker: Tracker, group: str) -> None:
            tracker.summary(values, text, self._parameters)

        def keep(tracker: Tracker, group: str) -> None:
            tracker.files(files)

        self._send("final", 1, _digest({"values": dict(values), "text": text}), summarise)
        self._send("files", 1, _digest({name: file_digest(path) for name, path in files.items()}), keep)

    def end(self, how: Ending) -> None:
        """Close every run that was opened."""
        for name in sorted(self._started):
            self._try(name, lambda tracker: tracker.end(how))

    def _log(self, group: str, values: Mapping[str, float], step: int, training: bool = False) -> None:
        def log(tracker: Tracker, group: str) -> None:
            tracker.log(group, values, step)

        self._send(group, step, _digest(values), log, training)

    def _send(
        self, group: str, step: int, digest: str, send: Callable[[Tracker, str], None], training: bool = False
    ) -> None:
        """Send something to every tracker that hasn't got it, under the name that the group has there."""
        for name in list(self._trackers):
            there = self._training(name, group, step, digest) if training else group
            if self._kept[name].logged.get(there, [])[step - 1 : step] == [digest]:
                continue

            def do(tracker: Tracker, name: str = name, there: str = there) -> None:
                if name not in self._started:
                    self._start(name, tracker)
                send(tracker, there)
                # Steps before this one that aren't known were logged by nobody.
                logged = self._kept[name].logged
                logged[there] = [*(logged.get(there, []) + [""] * step)[: step - 1], digest]
                self._write()

            self._try(name, do)

    def _training(self, name: str, group: str, step: int, digest: str) -> str:
        """What a training is called in a tracker: a search has several of one name, which get numbers."""
        logged = self._kept[name].logged
        names = (group if number == 1 else f"{group}-{number}" for number in count(1))
        if step == 1:
            self._now[name, group] = next(one for one in names if logged.get(one, [])[:1] in ([], [digest]))
        elif (name, group) not in self._now:
            # Gone on with after an interruption: it was the last of its name.
            *_, self._now[name, group] = group, *takewhile(logged.__contains__, names)
        return self._now[name, group]

    def _start(self, name: str, tracker: Tracker) -> None:
        kept = self._kept[name]
        run = tracker.start(kept.run)
        self._started.add(name)
        if run != kept.run:
            tracker.parameters(self._parameters)
            self._kept[name] = _Kept(kept.at, kept.of, run)
            self._write()

    def _try(self, name: str, do: Callable[[Tracker], None]) -> None:
        tracker = self._trackers.get(name)
        if tracker is None:
            return
        try:
            do(tracker)
        except Exception as error:  # whatever a tracker raises: a run is worth more than its curves
            del self._trackers[name]
            if name in self._started:
                # Left open, MLflow would try to close it when the process ends, for minutes.
                self._started.discard(name)
                with suppress(Exception):
                    tracker.end("failed")
            place = f" ({tracker.address})" if tracker.address else ""
            note = f"tracking with {name}{place} ended before the run did: {told(error)}"
            self.notes.append(note)
            self._say(f"{note}; the run goes on, and the same command sends what it measured again")

    def _write(self) -> None:
        values = {name: vars(kept) for name, kept in self._kept.items()}
        write_atomically(self._path, json.dumps({**values, "seal": seal(values)}, indent=1).encode())


@contextmanager
def tracking(
    names: tuple[str, ...],
    folder: Path,
    parameters: Mapping[str, str],
    progress: ShowProgress,
    *,
    made_on: Mapping[str, str] | None = None,
    device: str = "cpu",
    fresh: bool = False,
) -> Iterator[Tracking]:
    """Open trackers for what is done within, and close them however it ends.

    Args:
        names: Of ``TRACKERS``.
        folder: The run's.
        parameters: What it was asked for.
        progress: Where it is said that a tracker failed.
        made_on: What it runs on.
        device: A torch device.
        fresh: Whether nothing that was tracked before is gone on with.

    Raises:
        InputError: There is no such tracker, or it can't be used as it is set up.
        MissingError: A package or a server isn't there.
    """

    def say(message: str) -> None:
        progress(Progress("tracking", message=message))

    opened = Tracking(open_trackers(names, folder, device), folder, parameters, made_on or {}, say, fresh)
    try:
        yield opened
    except KeyboardInterrupt:
        opened.end("interrupted")
        raise
    except BaseException:
        opened.end("failed")
        raise
    opened.end("finished")


def _read(path: Path) -> dict[str, _Kept]:
    """What was kept of each tracker; nothing where the file is none of ours, so that all is logged to new runs."""
    if not path.exists():
        return {}
    try:
        values: dict[str, Any] = read_json(path, dict, "delete it")
    except InputError:
        return {}
    if values.pop("seal", None) != seal(values):
        return {}
    return {name: _Kept(**kept) for name, kept in values.items()}


def _digest(values: Mapping[str, Any]) -> str:
    return seal({name: value for name, value in values.items() if name != CLOCKED})[:8]
