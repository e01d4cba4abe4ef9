"""Splits of texts: raw as they were read, and as a network's tokenizer makes inputs of them."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from compressor.data.labels import UNLABELED
from compressor.data.tokenizer import Tokens, tokenize
from compressor.errors import DataError
from compressor.models import TokenizerSpec


@dataclass(frozen=True)
class TextSplit:
    """Texts, or pairs of them, or words with a label each.

    Args:
        texts: One a sample, or its words.
        labels: int64 (N,), or float32 (N,) for values; for words int64 (N, words of the longest sample).
        pairs: The second text of each sample; None where there is one text.
        tokens: None until ``with_tokenizer``.
        spec: What made them.
        kept: Tokenizations by digest, shared by all views of these texts.
    """

    texts: tuple[str, ...] | tuple[tuple[str, ...], ...]
    labels: Tensor
    pairs: tuple[str, ...] | None = None
    tokens: Tokens | None = None
    spec: TokenizerSpec | None = None
    kept: dict[str, Tokens] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        """How many samples."""
        return len(self.texts)

    @property
    def lengths(self) -> Tensor | None:
        """int64 (N,), tokens of each sample; of texts read apart those of the longer one, of raw texts characters."""
        if self.tokens is None:
            return torch.tensor([len(text) for text in self.texts])
        return self.tokens.lengths.view(-1, len(self)).amax(dim=0)

    @property
    def places(self) -> Tensor | None:
        """int64 (N, words), at which of a sample's tokens each word begins; None where texts aren't words."""
        return None if self.tokens is None else self.tokens.places

    def with_tokenizer(self, spec: TokenizerSpec) -> "TextSplit":
        """The same texts as this tokenizer cuts them; each tokenizer reads them once."""
        if spec.digest not in self.kept:
            self.kept[spec.digest] = tokenize(spec, self.texts, self.pairs)
        return replace(self, tokens=self.kept[spec.digest], spec=spec)

    def two_by_two(self) -> "TextSplit":
        """Single texts as pairs of neighbours, without labels; the last of an odd number stands beside the first."""
        second = (*self.texts, self.texts[0])[1::2]
        return TextSplit(self.texts[::2], torch.full((len(second),), UNLABELED), tuple(map(str, second)))

    def fetch(self, indices: Tensor, epoch_seed: int | None = None) -> tuple[Tensor, ...]:
        """The network's inputs, each int64 (n, tokens of the longest of them), of pairs read apart (n, 2, tokens).

        Raises:
            DataError: Nothing has tokenized these texts.
        """
        if self.tokens is None or self.spec is None:
            raise DataError(
                "texts need a tokenizer, and the network brings none",
                "a Hugging Face folder with its tokenizer as the model",
            )
        apart = len(self.tokens.lengths) > len(self)
        rows = torch.stack([indices, indices + len(self)], dim=1).flatten() if apart else indices
        places = [self.tokens.of(index) for index in rows.tolist()]
        longest = max(place.stop - place.start for place in places)
        shape = (len(places), longest)
        filled = {
            "input_ids": torch.full(shape, self.spec.pad_id, dtype=torch.int64),
            "attention_mask": torch.zeros(shape, dtype=torch.int64),
            "token_type_ids": torch.zeros(shape, dtype=torch.int64),
        }
        for row, place in enumerate(places):
            count = place.stop - place.start
            filled["input_ids"][row, :count] = self.tokens.ids[place]
            filled["attention_mask"][row, :count] = 1
            filled["token_type_ids"][row, :count] = self.tokens.types[place]
        inputs = tuple(filled[name] for name in self.spec.inputs)
        return tuple(tensor.unflatten(0, (-1, 2)) for tensor in inputs) if apart else inputs
