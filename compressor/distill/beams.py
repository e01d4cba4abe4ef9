"""A teacher's own sequences, kept on disk: what sequence-level distillation trains on.

A student learns better from what its teacher would write than from what people wrote (Kim and Rush 2016,
https://arxiv.org/abs/1606.07947): from the likeliest of a beam, or from the one of the beam that is nearest to the
label, which they call sequence-level interpolation.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compressor.distill.kept_arrays import kept_array, unwritten
from compressor.runners.protocol import Arrays
from compressor.runners.search import Answer, Decoder, Ends, beam_search
from compressor.tasks.error_rates import edits

PREFIX = "teacher-beams-"
# Before a sequence's tokens: its score, and whether it ended by itself.
FACTS = 2
NONE = -1.0


class Beams:
    """The best few sequences of each sample, the best first.

    Args:
        path: The file, whose name has the key of teacher and data in it; it begins with ``PREFIX``.
        samples: How many there are.
        beams: Kept of each.
        limit: The most tokens of one.
    """

    def __init__(self, path: Path, samples: int, beams: int, limit: int) -> None:
        self.beams, self.limit = beams, limit
        self._kept = kept_array(path, (samples, beams, FACTS + limit), PREFIX)

    @property
    def missing(self) -> Tensor:
        """Which samples nobody has written sequences for, int64."""
        return torch.from_numpy(unwritten(self._kept)).nonzero().flatten()

    def write(self, indices: Tensor, found: Sequence[Sequence[Answer]]) -> None:
        """Keep what was found for some samples."""
        rows = np.full((len(indices), self.beams, FACTS + self.limit), NONE, dtype=np.float32)
        for row, answers in zip(rows, found, strict=True):
            for place, one in zip(row, answers[: self.beams], strict=False):
                place[:FACTS] = one.score, one.is_whole
                place[FACTS : FACTS + len(one.tokens)] = one.tokens
        self._kept[indices.numpy()] = rows

    def answers(self, index: int) -> list[Answer]:
        """A sample's sequences; one that the limit cut is no answer, and none may be left."""
        rows = self._kept[index]
        return [
            Answer(tuple(row[FACTS:][row[FACTS:] != NONE].astype(int).tolist()), True, float(row[0]))
            for row in rows
            if row[1] == 1
        ]


def fill(
    beams: Beams,
    decoder: Decoder,
    inputs_of: Callable[[Tensor], Arrays],
    lengths: Tensor,
    ends: Ends,
    *,
    batch_size: int = 64,
    length_penalty: float = 1.0,
    done: Callable[[int, int], None] = lambda written, all_of_them: None,
) -> int:
    """Have a teacher write the sequences that aren't there, sources of one length together.

    Whoever is killed on the way has lost one batch.

    Args:
        beams: Where to.
        decoder: The teacher's.
        inputs_of: Its inputs for samples int64 (n,).
        lengths: int64 (N,), of each sample's source.
        ends: How its sequences begin and end.
        batch_size: Samples a call.
        length_penalty: As ``beam_search`` has it.
        done: Told after each batch how many of how many were written in this call.

    Returns:
        For how many samples the teacher was asked.
    """
    missing = beams.missing
    ordered = missing[lengths[missing].argsort(stable=True)]
    written = 0
    for indices in ordered.split(batch_size) if len(ordered) else ():
        beams.write(indices, beam_search(decoder, inputs_of(indices), ends, beams.beams, length_penalty))
        written += len(indices)
        done(written, len(ordered))
    return written


def likeliest(answers: Sequence[Answer]) -> tuple[int, ...] | None:
    """The teacher's first choice; None where it has no answer."""
    return answers[0].tokens if answers else None


def nearest(answers: Sequence[Answer], labels: Sequence[Sequence[int]]) -> tuple[int, ...] | None:
    """The answer with the fewest edits a token from one of the labels, of equals the likelier.

    Args:
        answers: The likeliest first.
        labels: The tokens of each reference, none of them empty.
    """
    if not answers:
        return None
    references = [[str(token) for token in one] for one in labels]
    counted = edits([[str(token) for token in one.tokens] for one in answers], [references] * len(answers))
    return answers[int((counted.made / counted.wanted).argmin())].tokens
