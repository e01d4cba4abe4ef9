"""How far written sequences are from those wanted: the share of edits, and of answers that are wrong at all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compressor.extras import require

# Draws of the bootstrap, as for other scores that are no means over samples.
ROUNDS = 100
Sequences = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Edits:
    """Of each answer, against the reference that it is nearest to.

    Args:
        made: int64 (N,), insertions, deletions and substitutions (Levenshtein 1966).
        wanted: int64 (N,), symbols of that reference.
    """

    made: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.int64]

    @property
    def error_rate(self) -> float:
        """Edits over the references' symbols, all samples together; of phones it is called PER, of words WER.

        Over 1 where answers are long and wrong.
        """
        return float(self.made.sum() / self.wanted.sum())

    @property
    def error_rate_stderr(self) -> float:
        """By a bootstrap over samples, whose symbols aren't independent."""
        draws = np.random.default_rng(0)
        places = (draws.integers(0, len(self.made), len(self.made)) for _ in range(ROUNDS))
        return float(np.std([self.made[drawn].sum() / self.wanted[drawn].sum() for drawn in places]))

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Which answers are none of their references, bool (N,)."""
        return self.made > 0


def edits(answers: Sequences, references: Sequence[Sequences]) -> Edits:
    """The fewest edits from each answer to one of its references.

    Of references that are as near as one another by edits a symbol, the first counts: the words that a dictionary
    has two pronunciations of are right by either.

    Args:
        answers: N sequences of symbols.
        references: N lists of at least one reference; none of them is empty.

    Raises:
        MissingError: rapidfuzz isn't installed.
    """
    distance = require("rapidfuzz.distance").Levenshtein.distance
    made, wanted = [], []
    for answer, variants in zip(answers, references, strict=True):
        counts = [(distance(list(answer), list(one)), len(one)) for one in variants]
        fewest, length = min(counts, key=lambda count: count[0] / count[1])
        made.append(fewest)
        wanted.append(length)
    return Edits(np.array(made, dtype=np.int64), np.array(wanted, dtype=np.int64))
