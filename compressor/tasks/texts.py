"""Texts: samples of different lengths, as the network's own tokenizer reads them."""

from typing import ClassVar

import torch
from torch import Tensor

from compressor.data import Data
from compressor.data.phrases import with_phrases
from compressor.data.tokenizer import check_same_tokens
from compressor.factories.text_network import is_text_network
from compressor.models import InputSpec, ModelInfo
from compressor.tasks.modality import Modality, Pairing, Relatives

# Latency is the mean over texts of the test split with their real lengths.
TIMED = 32


class Texts(Modality):
    """Token ids and masks, (N, tokens) integers, whose second axis is the batch's longest text."""

    name: ClassVar[str] = "texts"
    # Long batches of texts are mostly padding.
    evaluation_batch: ClassVar[int] = 64
    scoring_batch: ClassVar[int] = 16
    augmented: ClassVar[bool] = False
    one_size: ClassVar[bool] = False
    pairing: ClassVar[Pairing] = "blocks"
    has_pieces: ClassVar[bool] = True
    # A transformer's blocks are cut alike.
    global_ranking: ClassVar[bool] = False
    script: ClassVar[str] = "infer_text.py"

    def stages_for(self, info: ModelInfo) -> str:
        """Stages for texts are about networks that read them by a tokenizer."""
        return self.name if info.tokenizer else ""

    def relatives(self, info: ModelInfo) -> Relatives:
        """Some of its own layers, where its configuration says which it has."""
        return "shallower" if is_text_network(info.factory) else super().relatives(info)

    def specs(self, inputs: tuple[Tensor, ...], data: Data) -> tuple[InputSpec, ...]:
        """One a tokenizer's output, of any length."""
        if data.tokenizer is None:
            return super().specs(inputs, data)
        return tuple(InputSpec(name=name, shape=(-1,), dtype="int64", layout="NT") for name in data.tokenizer.inputs)

    def timed(self, data: Data, size: int) -> list[Tensor]:
        """Several calls all over the test split, each with its texts' own lengths."""
        count = len(data.test)
        starts = torch.linspace(0, max(0, count - size), min(TIMED, count)).long()
        return [torch.arange(int(start), min(int(start) + size, count)) for start in starts]

    def longest(self, made: ModelInfo | Data) -> int | None:
        """As the tokenizer says."""
        return made.tokenizer.max_length if made.tokenizer else None

    def pieces(self, data: Data, per_sample: int, seed: int) -> Data:
        """Random parts of the training texts, without labels."""
        return with_phrases(data, per_sample, seed)

    def check_same(self, student: Data, teacher: Data) -> None:
        """Refuse tokenizers that cut texts differently."""
        check_same_tokens(student, teacher)


TEXTS = Texts()
