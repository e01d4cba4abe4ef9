"""Pieces of the training texts, for a teacher to answer: what the parts of a sentence are worth."""

import hashlib
from collections.abc import Sequence

import torch

from compressor.data.batches import Data, Split, Subset
from compressor.data.fitting import Relabelled
from compressor.data.labels import UNLABELED
from compressor.data.texts import TextSplit
from compressor.data.unlabeled import Bare, Joined, with_unlabeled

Text = str | tuple[str, ...]


def with_phrases(data: Data, per_sample: int, seed: int) -> Data:
    """The same data with random pieces of its training texts, as inputs without labels.

    A teacher has learned its own training texts by heart, and its answers to them are little more than their
    labels; to pieces of them they are news (n-gram sampling, Tang et al. 2019, https://arxiv.org/abs/1903.12136,
    section 3.3; there of up to five words, here of any length). A piece has at least one word, and is shorter than
    its text where that has two; where samples are pairs, each text of a pair is cut on its own.

    Args:
        data: Itself where its samples are no text.
        per_sample: Pieces of each training text.
        seed: Of where they are cut.
    """
    whole = texts_in(data.train)
    if whole is None or not per_sample:
        return data
    chance = torch.Generator().manual_seed(seed)
    texts: list[Text] = []
    pairs: list[str] = []
    for _ in range(per_sample):
        texts += [_piece(text, chance) for text in whole.texts]
        pairs += [str(_piece(text, chance)) for text in whole.pairs or ()]
    digest = hashlib.sha256(repr((texts, pairs)).encode()).hexdigest()
    return with_unlabeled(data, _unlabelled(texts, pairs if whole.pairs else None), "pieces of its own texts", digest)


def texts_in(split: Split) -> TextSplit | None:
    """The texts of a split, in its order and without labels; None where its samples are no text."""
    if isinstance(split, TextSplit):
        return split
    if isinstance(split, (Bare, Relabelled)):
        return texts_in(split.parent)
    if isinstance(split, Subset):
        whole = texts_in(split.parent)
        return None if whole is None else _chosen(whole, split.indices.tolist())
    if isinstance(split, Joined):
        first, second = texts_in(split.first), texts_in(split.second)
        return None if first is None or second is None else _after(first, second)
    return None


def _chosen(whole: TextSplit, places: Sequence[int]) -> TextSplit:
    pairs = None if whole.pairs is None else tuple(whole.pairs[place] for place in places)
    return _unlabelled([whole.texts[place] for place in places], pairs)


def _after(first: TextSplit, second: TextSplit) -> TextSplit:
    pairs = None if first.pairs is None or second.pairs is None else first.pairs + second.pairs
    return _unlabelled([*first.texts, *second.texts], pairs)


def _unlabelled(texts: Sequence[Text], pairs: Sequence[str] | None) -> TextSplit:
    words = [len(text) for text in texts if not isinstance(text, str)]
    labels = torch.full((len(texts), max(words)) if words else (len(texts),), UNLABELED)
    return TextSplit(tuple(texts), labels, None if pairs is None else tuple(pairs))  # type: ignore[arg-type]


def _piece(text: Text, chance: torch.Generator) -> Text:
    """Some words of a text, one after the other; a text of one word whole."""
    words = text.split() if isinstance(text, str) else list(text)
    if len(words) < 2:
        return text
    count = int(torch.randint(1, len(words), (), generator=chance))
    start = int(torch.randint(len(words) - count + 1, (), generator=chance))
    piece = words[start : start + count]
    return " ".join(piece) if isinstance(text, str) else tuple(piece)
