"""Token classification: a tag for each word of a text."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn import functional

from compressor.data import Batch, Data
from compressor.data.labels import IGNORED
from compressor.errors import DataError, PlanError
from compressor.tasks import Score, ScoredTask
from compressor.tasks.texts import TEXTS

SCORES = ("f1", "accuracy")
ROUNDS = 100
Span = tuple[int, int, str]


class TokenClassification(ScoredTask):
    """Cross-entropy over words, each known by its first token; scored by micro F1 over entities, or accuracy.

    A word that was cut off with the end of a long text, or that the tokenizer makes nothing of, has zeros for an
    answer, and counts as answered wrongly.

    Args:
        score: Which of the two leads; the other is in the report too.
        loss: ``loss(logits, tags)`` of (words, classes) and (words,) in place of cross-entropy.
    """

    name = "token-classification"
    modality = TEXTS
    axes = "tokens"
    rank = 3
    remedy = "a Hugging Face folder of a network for texts, with its tokenizer"
    scores = SCORES
    usual_loss = staticmethod(functional.cross_entropy)

    def mask(self, batch: Batch) -> Tensor:
        """The attention mask, which text networks take second."""
        return batch.inputs[1]

    def counted(self, batch: Batch) -> Tensor:
        """Words that have a token, bool (N, words)."""
        return _places(batch) >= 0

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of (N, tokens, classes) at the words' first tokens against (N, words)."""
        counted = self.counted(batch)
        if not bool(counted.any()):
            return 0.0 * outputs.sum()
        return self._loss(self.logits(outputs, batch)[counted].float(), batch.labels[counted])

    def logits(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The outputs at the words' first tokens, (N, words, classes); zeros where there is none."""
        places = _places(batch)
        of_words = outputs.gather(1, places.clamp(min=0)[:, :, None].expand(-1, -1, outputs.shape[2]))
        return of_words.masked_fill((places < 0)[:, :, None], 0)

    def score(self, outputs: npt.NDArray[np.float32], labels: npt.NDArray[Any], data: Data) -> Score:
        """F1 and accuracy of (N, words, classes) against (N, words), the chosen one leading.

        F1 is over all entities together: one counts as found where its first word, its last and its type are right.
        Of tags that aren't IOB ("B-" begins an entity, "I-" goes on with it, "O" is outside) every word is an
        entity, and F1 the accuracy. Standard errors are a bootstrap over samples, whose words aren't independent.
        """
        there = labels != IGNORED
        predicted = np.where(np.any(outputs != 0, axis=2), outputs.argmax(axis=2), -1)
        right = ((predicted == labels) & there).sum(axis=1)
        words = there.sum(axis=1)
        accuracy = np.stack([right, words, words], axis=1)
        counts, recall = (accuracy, {}) if not is_iob(data.classes) else _entity_counts(predicted, labels, data.classes)
        chosen, other = (counts, accuracy) if self.score_name == "f1" else (accuracy, counts)
        others = {next(name for name in SCORES if name != self.score_name): _f1(other.sum(axis=0))}
        others |= {"precision": _share(counts, 1), "recall": _share(counts, 2)}
        rng = np.random.default_rng(0)
        drawn = [_f1(chosen[rng.integers(0, len(chosen), len(chosen))].sum(axis=0)) for _ in range(ROUNDS)]
        return Score(_f1(chosen.sum(axis=0)), float(np.std(drawn)), None, others, recall)

    def check(self, module: nn.Module, data: Data) -> None:
        """Labels must be tags of words, and the network gives as many classes for each token."""
        if data.train.labels.dim() != 2:
            raise DataError(
                f"{self.name} wants words and a tag for each, '{data.source}' has one label a text",
                "--data-arg tokens=COLUMN --data-arg tags=COLUMN, columns with lists",
            )
        outputs = self.trial(module, data)
        if outputs.dim() != 3:
            raise PlanError(
                f"{self.name} wants logits of shape (N, tokens, classes), the network gives {tuple(outputs.shape)}",
                f"compress train FOLDER --task {self.name} --data ..., which gives it such a head",
            )
        highest = max(int(split.labels.max()) for split in (data.train, data.validation, data.test))
        if highest >= outputs.shape[2]:
            raise DataError(
                f"tags out of range: '{data.source}' has {highest + 1}, the network gives {outputs.shape[2]} outputs",
                f"compress train FOLDER --task {self.name} --data ..., which gives it a head for them",
            )


def is_iob(classes: tuple[str, ...]) -> bool:
    """Whether tags say where entities begin and go on."""
    inside = [name for name in classes if name != "O"]
    return bool(inside) and all(name[:2] in ("B-", "I-") for name in inside)


def entities(tags: Iterable[str]) -> set[Span]:
    """First word, last word and type of each entity.

    One begins at "B-", and at "I-" after another type or none, as the scripts of CoNLL-2003 read tags
    (Tjong Kim Sang and De Meulder 2003, https://aclanthology.org/W03-0419).
    """
    found: set[Span] = set()
    start, kind, place = 0, "", -1
    for place, tag in enumerate([*tags, "O"]):
        mark, _, here = tag.partition("-")
        goes_on = mark == "I" and here == kind
        if kind and not goes_on:
            found.add((start, place - 1, kind))
        if not goes_on:
            start, kind = place, here
    return found


def _places(batch: Batch) -> Tensor:
    assert batch.places is not None, "words have places; check() refuses other data"
    return batch.places


def _entity_counts(
    predicted: npt.NDArray[np.int64], labels: npt.NDArray[Any], classes: tuple[str, ...]
) -> tuple[npt.NDArray[np.int64], dict[str, float]]:
    """Per sample how many entities are found rightly, found, and there, int64 (N, 3); and recall by type."""
    names = (*classes, "O")
    counts = []
    hits: dict[str, list[int]] = {}
    for answers, wanted in zip(predicted, labels, strict=True):
        there = wanted != IGNORED
        true = entities(names[label] for label in wanted[there])
        # Classes that the data has no name for, and words without an answer, are outside of any entity.
        found = entities(names[label] if label < len(classes) else "O" for label in answers[there])
        counts.append((len(true & found), len(found), len(true)))
        for span in true:
            hits.setdefault(span[2], []).append(span in found)
    return np.array(counts), {kind: sum(of_kind) / len(of_kind) for kind, of_kind in sorted(hits.items())}


def _f1(counts: npt.NDArray[np.int64]) -> float:
    right, found, there = counts.tolist()
    return 2 * right / (found + there) if found + there else 0.0


def _share(counts: npt.NDArray[np.int64], column: int) -> float:
    total = counts.sum(axis=0)
    return float(total[0] / total[column]) if total[column] else 0.0
