"""Texts to token ids, by the tokenizers library."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compressor.errors import ModelFileError, PlanError
from compressor.extras import require
from compressor.models import TokenizerSpec

# Samples that are looked at where two tokenizers must cut alike.
COMPARED = 500


@dataclass(frozen=True)
class Tokens:
    """Samples of different lengths, one after the other.

    Args:
        ids: int32, all samples' tokens.
        types: int8, which of a pair's two texts each token is of.
        ends: int64 (N + 1,), where each sample starts, and the last ends.
        places: int64 (N, words of the longest sample), at which of its sample's tokens each word begins; -1 where
            it was cut off, is made of no token at all, or isn't there. None where texts aren't split into words.
    """

    ids: Tensor
    types: Tensor
    ends: Tensor
    places: Tensor | None = None

    @property
    def lengths(self) -> Tensor:
        """int64 (N,)."""
        return self.ends.diff()

    def of(self, index: int) -> slice:
        """The place of one sample's tokens."""
        return slice(int(self.ends[index]), int(self.ends[index + 1]))


def engine(spec: TokenizerSpec) -> Any:
    """The tokenizers library's own object, which neither pads nor cuts.

    Raises:
        MissingError: The library isn't installed.
        ModelFileError: The content isn't a tokenizer.
    """
    library = require("tokenizers")
    try:
        made = library.Tokenizer.from_str(spec.content)
    except Exception as error:
        raise ModelFileError(f"its tokenizer.json can't be read: {error}", "copy the folder again") from None
    made.no_padding()
    made.no_truncation()
    return made


def check_ids(spec: TokenizerSpec, rows: int | None, types: int | None, where: str) -> None:
    """Refuse a tokenizer whose tokens, or kinds of them, have no row in the network's tables.

    Args:
        spec: The tokenizer.
        rows: Of the table of tokens; None where it isn't known.
        types: Of the table of the kinds of a pair's texts.
        where: Names both in the error.

    Raises:
        ModelFileError: Naming the largest id and the number of rows.
    """
    made = engine(spec)
    try:
        probe = made.encode("a", "a")
    except Exception as error:
        raise ModelFileError(
            f"{where}: its tokenizer can't read a letter: {error}", "a tokenizer with an unk_token"
        ) from None
    largest = max([0, *made.get_vocab(with_added_tokens=True).values(), *probe.ids])
    if rows is not None and largest >= rows:
        raise ModelFileError(
            f"{where}: its tokenizer has the id {largest}, the network {rows} rows for tokens",
            "the tokenizer that the network was trained with",
        )
    kind = max([0, *probe.type_ids])
    if types and "token_type_ids" in spec.inputs and kind >= types:
        raise ModelFileError(
            f"{where}: its tokenizer gives the type {kind}, the network has rows for {types} types",
            "the tokenizer that the network was trained with",
        )


def tokenize(
    spec: TokenizerSpec, texts: Sequence[str] | Sequence[Sequence[str]], pairs: Sequence[str] | None = None
) -> Tokens:
    """Token ids of every sample, cut to ``spec.max_length``.

    Args:
        spec: The tokenizer.
        texts: One a sample, or its words where they are split already.
        pairs: The second text of each sample. Where the tokenizer reads them apart, all first texts come first and
            then all second ones, twice as many sequences as samples.
    """
    if spec.apart and pairs is not None:
        texts, pairs = [*map(str, texts), *pairs], None
    made = engine(spec)
    made.enable_truncation(spec.max_length, strategy="longest_first")
    split_already = bool(texts) and not isinstance(texts[0], str)
    given = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
    try:
        encoded = made.encode_batch(given, is_pretokenized=split_already, add_special_tokens=True)
    except Exception as error:
        # One without a token for what it doesn't know.
        raise ModelFileError(f"its tokenizer can't read the texts: {error}", "a tokenizer with an unk_token") from None

    def joined(values: list[Any], dtype: Any) -> Tensor:
        flat = [np.asarray(value, dtype=dtype) for value in values]
        return torch.from_numpy(np.concatenate(flat) if flat else np.zeros(0, dtype))

    return Tokens(
        ids=joined([one.ids for one in encoded], np.int32),
        types=joined([one.type_ids for one in encoded], np.int8),
        ends=torch.tensor([0, *np.cumsum([len(one.ids) for one in encoded])], dtype=torch.int64),
        places=_places([one.word_ids for one in encoded], max(map(len, texts))) if split_already else None,
    )


def _places(words: list[list[int | None]], longest: int) -> Tensor:
    """Where each word begins, of the words that each sample's tokens are pieces of; None for special tokens."""
    places = np.full((len(words), longest), -1)
    for sample, row in zip(places, words, strict=True):
        # From the last token to the first, so that a word's first piece has the last say.
        for place in range(len(row) - 1, -1, -1):
            word = row[place]
            if word is not None:
                sample[word] = place
    return torch.from_numpy(places)


def check_same_tokens(student: Any, teacher: Any) -> None:
    """Refuse losses on tokens between networks that cut the same text differently.

    Compared by the tokens' text, so that a trimmed vocabulary, which numbers them anew, counts as the same.

    Args:
        student: Data in the student's tokens.
        teacher: The same data in the teacher's.

    Raises:
        PlanError: Naming a sample and the first tokens that differ.
    """
    if student is teacher or student.tokenizer is None or teacher.tokenizer is None:
        return
    engines = engine(student.tokenizer), engine(teacher.tokenizer)
    for row in torch.linspace(0, len(student.train) - 1, min(COMPARED, len(student.train))).long():
        pieces = [
            [names.id_to_token(place) for place in data.train.fetch(row[None])[0].flatten().tolist()]
            for data, names in zip((student, teacher), engines, strict=True)
        ]
        if pieces[0] != pieces[1]:
            place = next(
                (i for i, (a, b) in enumerate(zip(*pieces, strict=False)) if a != b), len(min(pieces, key=len))
            )
            raise PlanError(
                f"kd.terms compare tokens, and the networks cut text differently: in training sample {int(row)} the "
                f"student reads {pieces[0][place : place + 4]} where the teacher reads {pieces[1][place : place + 4]}",
                "kd.terms=[]: answers of whole texts can be compared all the same",
            )
