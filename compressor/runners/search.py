"""Sequences written token by token, by whatever runs a decoder: greedy and beam search, in numpy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from compressor.runners.protocol import Arrays

Tokens = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class Decoder(Protocol):
    """What answers token after token; whatever it remembers between calls is its ``state``."""

    def start(self, inputs: Arrays) -> Any:
        """The state before the first token of each of N samples."""
        ...

    def step(self, tokens: Tokens, state: Any) -> tuple[Floats, Any]:
        """Logits (N, vocabulary) after these tokens (N,), and the state that has seen them."""
        ...

    def pick(self, state: Any, rows: Tokens) -> Any:
        """The state of some rows, in another order or more than once."""
        ...


@dataclass(frozen=True, slots=True)
class Ends:
    """How an answer begins and ends.

    Args:
        start: The token that a decoder is first given.
        end: The token after which there is nothing more.
        limit: The most tokens of an answer, the end among them.
    """

    start: int
    end: int
    limit: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One sequence.

    Args:
        tokens: Without start and end.
        is_whole: Whether it ended by itself; else the limit cut it, and it is no answer.
        score: Logarithm of its probability, of an answer of a beam divided by its length to the penalty.
    """

    tokens: tuple[int, ...]
    is_whole: bool
    score: float


def greedy(decoder: Decoder, inputs: Arrays, ends: Ends) -> list[Answer]:
    """The likeliest token after each, one answer a sample; a sample that has ended takes no more time.

    Args:
        decoder: Called with fewer and fewer rows.
        inputs: The first axis is the samples.
        ends: How they begin and end.
    """
    count = len(inputs[0])
    written: list[list[int]] = [[] for _ in range(count)]
    scores = np.zeros(count)
    rows = np.arange(count)
    tokens, state = np.full(count, ends.start), decoder.start(inputs)
    for _ in range(ends.limit):
        logits, state = decoder.step(tokens, state)
        tokens = logits.argmax(axis=1)
        scores[rows] += _log_softmax(logits)[np.arange(len(rows)), tokens]
        for row, token in zip(rows, tokens, strict=True):
            written[row].append(int(token))
        goes_on = np.flatnonzero(tokens != ends.end)
        if not len(goes_on):
            break
        if len(goes_on) < len(rows):
            rows, tokens, state = rows[goes_on], tokens[goes_on], decoder.pick(state, goes_on)
    return [_answer(one, ends.end, score) for one, score in zip(written, scores.tolist(), strict=True)]


def beam_search(
    decoder: Decoder, inputs: Arrays, ends: Ends, beams: int = 4, length_penalty: float = 1.0
) -> list[list[Answer]]:
    """The best few answers of each sample that a beam of this width finds, the best first.

    Every open beam goes on with every token; of the ``2 * beams`` likeliest of all of them those that end are kept as
    answers where they are among the first ``beams``, the first ``beams`` of the others stay open. A sample is done
    when it has ``beams`` answers and its likeliest open beam, were it to end now, would not beat the worst of them:
    what ``generate`` of the transformers library does with ``early_stopping=False``.

    Args:
        decoder: Called with ``beams`` rows for each sample that isn't done.
        inputs: The first axis is the samples.
        ends: How answers begin and end.
        beams: Kept open for each sample.
        length_penalty: Log-probabilities are divided by the length, the end counted, to this power: the higher, the
            longer the answers.
    """
    searches = [_Beam(ends, beams, length_penalty) for _ in inputs[0]]
    state = decoder.pick(decoder.start(inputs), np.repeat(np.arange(len(searches)), beams))
    tokens = np.full(len(searches) * beams, ends.start)
    going = searches
    for _ in range(ends.limit):
        logits, state = decoder.step(tokens, state)
        likely = _log_softmax(logits).reshape(len(going), beams, -1)
        rows, following = [], []
        still = []
        for place, (search, of_sample) in enumerate(zip(going, likely, strict=True)):
            before, chosen = search.go_on(of_sample)
            if not search.is_done:
                still.append(search)
                rows.append(place * beams + before)
                following.append(chosen)
        if not still:
            break
        going, tokens, state = still, np.concatenate(following), decoder.pick(state, np.concatenate(rows))
    return [search.answers() for search in searches]


class _Beam:
    """One sample's open beams and answers."""

    def __init__(self, ends: Ends, beams: int, penalty: float) -> None:
        self._ends, self._beams, self._penalty = ends, beams, penalty
        self._open: list[tuple[int, ...]] = [()] * beams
        # All begin alike: of equal beams one counts.
        self._scores = np.full(beams, -np.inf)
        self._scores[0] = 0.0
        self._ended: list[Answer] = []

    def go_on(self, likely: npt.NDArray[np.float64]) -> tuple[Tokens, Tokens]:
        """Add a token to each beam: which beams were gone on with, and by which tokens.

        Args:
            likely: Log-probabilities (beams, vocabulary) of the next token.
        """
        length, size = len(self._open[0]) + 1, likely.shape[1]
        total = (self._scores[:, None] + likely).ravel()
        best = np.argsort(-total, kind="stable")[: 2 * self._beams]
        is_end = best % size == self._ends.end
        for place in best[: self._beams][is_end[: self._beams]]:
            if np.isfinite(total[place]):
                self._keep(Answer(self._open[place // size], True, float(total[place]) / length**self._penalty))
        chosen = best[~is_end][: self._beams]
        before, tokens = chosen // size, chosen % size
        self._open = [(*self._open[row], int(token)) for row, token in zip(before, tokens, strict=True)]
        self._scores = total[chosen]
        return before, tokens

    def _keep(self, answer: Answer) -> None:
        self._ended = sorted([*self._ended, answer], key=lambda one: -one.score)[: self._beams]

    @property
    def is_done(self) -> bool:
        """Whether nothing that is open can beat what has ended."""
        attainable = self._scores[0] / len(self._open[0]) ** self._penalty
        return len(self._ended) == self._beams and self._ended[-1].score >= attainable

    def answers(self) -> list[Answer]:
        """What ended, best first; what the limit cut where nothing ended."""
        if self._ended:
            return self._ended
        length = len(self._open[0]) ** self._penalty
        return [
            Answer(tokens, False, float(score) / length) for tokens, score in zip(self._open, self._scores, strict=True)
        ]


def _answer(written: Sequence[int], end: int, score: float) -> Answer:
    is_whole = written[-1] == end
    return Answer(tuple(written[:-1] if is_whole else written), is_whole, score)


def _log_softmax(logits: Floats) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logs: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs
