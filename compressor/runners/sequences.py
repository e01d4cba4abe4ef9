"""An encoder's and a decoder's ONNX files in ONNX Runtime on the CPU, token by token."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from compressor.errors import ModelFileError
from compressor.onnx_files.session import open_session
from compressor.runners.protocol import Arrays
from compressor.runners.search import Floats, Tokens

if TYPE_CHECKING:
    import onnxruntime

State = Mapping[str, Any]


class OnnxDecoder:
    """Two files as ``greedy`` and ``beam_search`` call them; ``compressor.export.sequence_graphs`` says what is in.

    Args:
        encoder: The file of what is computed once a source.
        decoder: The file of what is computed once a token.
        threads: Threads inside one operator.
    """

    def __init__(self, encoder: Path, decoder: Path, threads: int = 1) -> None:
        self._encoder_path, self._decoder_path = encoder, decoder
        self._threads = threads
        self._encoder: onnxruntime.InferenceSession | None = None
        self._decoder: onnxruntime.InferenceSession | None = None
        self._answers: list[str] = []
        self._past: list[str] = []

    def start(self, inputs: Arrays) -> State:
        """The encoder's answers, and caches of no position.

        Args:
            inputs: Token ids and mask, int64 (N, source).
        """
        assert self._encoder is not None and self._decoder is not None, "OnnxDecoder outside of its 'with' block"
        fed = dict(zip((one.name for one in self._encoder.get_inputs()), inputs, strict=True))
        names = [one.name for one in self._encoder.get_outputs()]
        state = {"attention_mask": inputs[1], **dict(zip(names, self._encoder.run(names, fed), strict=True))}
        for given in self._decoder.get_inputs():
            if given.name.startswith("past."):
                _, heads, _, size = given.shape
                state[given.name] = np.zeros((len(inputs[0]), heads, 0, size), dtype=np.float32)
        return state

    def step(self, tokens: Tokens, state: State) -> tuple[Floats, State]:
        """Logits (N, vocabulary) after these tokens (N,), and the state that has seen them."""
        assert self._decoder is not None, "OnnxDecoder outside of its 'with' block"
        logits, *present = self._decoder.run(self._answers, {"decoder_input_ids": tokens[:, None], **state})
        return logits, {**state, **dict(zip(self._past, present, strict=True))}

    def pick(self, state: State, rows: Tokens) -> State:
        """Every array's rows."""
        return {name: array[rows] for name, array in state.items()}

    def __enter__(self) -> Self:
        """Load both files.

        Raises:
            ModelFileError: One isn't there, can't be loaded, or they don't belong together.
        """
        self._encoder = open_session(self._encoder_path, self._threads)
        self._decoder = open_session(self._decoder_path, self._threads)
        # Looked up once, and not at every token.
        self._answers = [one.name for one in self._decoder.get_outputs()]
        self._past = [f"past.{name.removeprefix('present.')}" for name in self._answers[1:]]
        gives = {one.name for one in self._encoder.get_outputs()}
        wants = {one.name for one in self._decoder.get_inputs() if one.name.startswith("cross.")}
        if gives != wants:
            raise ModelFileError(
                f"{self._encoder_path} gives {_listed(gives)}, {self._decoder_path} takes {_listed(wants)}",
                "two files of one export",
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free both sessions."""
        self._encoder = self._decoder = None


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
