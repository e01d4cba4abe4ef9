"""Files opened to be timed: sessions of ONNX Runtime, called with numbers of the right kind and size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from compressor.errors import InputError
from compressor.gate.subject import Subject
from compressor.gate.timing import Call
from compressor.onnx_files.session import open_session

# Of an axis that is open and isn't the batch: a sentence's length, a signal's.
OPEN_SIZE = 32
KINDS: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}


def session_of(subject: Subject) -> Callable[[], Call]:
    """What opens a file's session anew, and gives a call of it."""
    return lambda: _call(_session(subject), subject)


def sessions_of(subject: Subject, baseline: Subject) -> Callable[[], tuple[Call, Call]]:
    """What opens both anew, each first in its turn.

    Raises:
        InputError: They take other inputs.
    """
    takes = [[(one.name, one.type, one.shape) for one in _session(each).get_inputs()] for each in (subject, baseline)]
    if [(kind, len(shape)) for _, kind, shape in takes[0]] != [(kind, len(shape)) for _, kind, shape in takes[1]]:
        raise InputError(
            f"{subject.file} and {baseline.file} take other inputs: {takes[0]} and {takes[1]}",
            "a baseline of the same task; gate --update writes it anew",
        )
    turn = [0]

    def open_pair() -> tuple[Call, Call]:
        turn[0] += 1
        order = (subject, baseline) if turn[0] % 2 else (baseline, subject)
        made = {id(each): _call(_session(each), each) for each in order}
        return made[id(subject)], made[id(baseline)]

    return open_pair


def _session(subject: Subject) -> onnxruntime.InferenceSession:
    return open_session(Path(subject.file), subject.called.threads)


def _call(session: onnxruntime.InferenceSession, subject: Subject) -> Call:
    try:
        feeds = {given.name: _numbers(given, subject) for given in session.get_inputs()}
        session.run(None, feeds)
    except InputError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{subject.file} can't be run with numbers that were made up: {reason}", "gate the run that made it"
        ) from None
    return lambda: session.run(None, feeds)


def _numbers(given: Any, subject: Subject) -> npt.NDArray[Any]:
    kind = KINDS.get(given.type)
    if kind is None:
        raise InputError(f"{subject.file} takes {given.type} as {given.name}, which can't be made up", "gate a run")
    sizes = [
        size if isinstance(size, int) and size > 0 else subject.called.batch if place == 0 else OPEN_SIZE
        for place, size in enumerate(given.shape)
    ]
    if np.issubdtype(kind, np.floating):
        return np.random.default_rng(0).standard_normal(sizes).astype(kind)
    # A token that every vocabulary has, and of a mask what counts.
    return np.ones(sizes, dtype=kind)
