"""An ONNX file in ONNX Runtime on the CPU."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnxruntime

from compressor.errors import ModelFileError
from compressor.onnx_files.session import PROVIDER, open_session
from compressor.runners.protocol import Arrays

# What a graph may call its inputs' types, of those that data can be made.
TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


class OnnxRunner:
    """Runs an ONNX file as a device would: all graph optimisations, a fixed number of threads.

    Args:
        path: The file.
        threads: Threads inside one operator; operators run one after the other.
        optimized_path: Where ONNX Runtime writes the graph it really runs, for inspection. That graph is
            limited to the extended level, since later ones are bound to this CPU's memory layout.
    """

    def __init__(self, path: Path, threads: int = 1, optimized_path: Path | None = None) -> None:
        self._path = path
        self._threads = threads
        self._optimized_path = optimized_path
        self._session: onnxruntime.InferenceSession | None = None
        self._feeds: list[str] = []
        self._types: list[str] = []
        self._batch: int | None = None

    @property
    def name(self) -> str:
        """``"onnxruntime 1.32.0 CPUExecutionProvider"``."""
        return f"onnxruntime {onnxruntime.__version__} {PROVIDER}"

    @property
    def input_names(self) -> list[str]:
        """The graph's inputs in their order; known inside the ``with`` block."""
        return self._feeds

    def infer(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        """The logits for a batch; inputs are fed in the graph's order, in calls of its own size where it has one.

        Raises:
            ModelFileError: The graph takes other inputs, fails on them, or gives no answers of at least two axes.
        """
        assert self._session is not None, "OnnxRunner.infer outside of its 'with' block"
        if self._batch is None or len(inputs[0]) == self._batch:
            return self._call(inputs)
        calls = _in_calls(inputs, self._batch)
        return np.concatenate([self._call(call) for call in calls])[: len(inputs[0])]

    def _call(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        assert self._session is not None
        if len(inputs) != len(self._feeds):
            names = ", ".join(self._feeds[:5])
            raise ModelFileError(
                f"{self._path} takes {len(self._feeds)} inputs ({names}), the data gives {len(inputs)}",
                "a network that takes what the data gives",
            )
        feeds = {
            name: self._as(kind, name, given)
            for name, kind, given in zip(self._feeds, self._types, inputs, strict=True)
        }
        try:
            answers = self._session.run(None, feeds)[0]
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelFileError(
                f"ONNX Runtime can't run {self._path}: {reason}", "data of the sizes that it was exported for"
            ) from error
        if not (isinstance(answers, np.ndarray) and answers.dtype.kind == "f"):
            kind = getattr(answers, "dtype", type(answers).__name__)
            raise ModelFileError(
                f"{self._path} gives {kind}, wanted a number for each answer as its first output",
                "export the network without what comes after its logits (argmax)",
            )
        if answers.ndim < 2 or len(answers) != len(inputs[0]):
            raise ModelFileError(
                f"{self._path} gives {list(answers.shape)} for {len(inputs[0])} samples, wanted (samples, answers)",
                "a network whose first output has a row a sample",
            )
        logits: npt.NDArray[np.float32] = answers.astype(np.float32, copy=False)
        return logits

    def _as(self, kind: str, name: str, given: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An input in the graph's own precision."""
        wanted = TYPES.get(kind)
        if wanted is given.dtype.type:
            return given
        if wanted is None or np.issubdtype(wanted, np.floating) != np.issubdtype(given.dtype, np.floating):
            raise ModelFileError(
                f"{self._path} takes {kind.removeprefix('tensor(').removesuffix(')')} as '{name}', the data gives "
                f"{given.dtype}",
                "export the network with inputs as it has in training: preprocessed float32, or int64 tokens",
            )
        return given.astype(wanted)

    def __enter__(self) -> Self:
        """Load and optimise the graph.

        Raises:
            ModelFileError: The file isn't there, or isn't a graph that ONNX Runtime can load.
        """
        self._session = open_session(self._path, self._threads, self._optimized_path)
        self._feeds = [given.name for given in self._session.get_inputs()]
        self._types = [given.type for given in self._session.get_inputs()]
        sizes = {given.shape[0] for given in self._session.get_inputs() if given.shape}
        fixed = {size for size in sizes if isinstance(size, int) and size > 0}
        self._batch = fixed.pop() if len(fixed) == len(sizes) == 1 else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the session."""
        self._session = None


def _in_calls(inputs: Arrays, size: int) -> Iterator[Arrays]:
    """So many samples a call; the last is filled up with its last sample."""
    for start in range(0, len(inputs[0]), size):
        parts = (array[start : start + size] for array in inputs)
        yield tuple(np.concatenate([part, part[-1:].repeat(size - len(part), axis=0)]) for part in parts)
