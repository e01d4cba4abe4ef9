"""Sentence embeddings: a vector for each text, so that texts are as alike as the cosine between theirs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from compressor.data import Batch, Data
from compressor.errors import DataError, PlanError
from compressor.factories.sentence_network import EMBEDDING
from compressor.tasks import Score, ScoredTask
from compressor.tasks.regression import bootstrap, pearson, spearman
from compressor.tasks.texts import TEXTS

SCORES = ("spearman", "pearson")
SCALE = 20.0


def cosent(cosines: Tensor, targets: Tensor) -> Tensor:
    """The loss between cosines and how alike texts are said to be: of any two pairs the more alike has the larger one.

    ``log(1 + sum(exp(20 * (cos_j - cos_i)))) / 20`` over all i, j with ``target_i > target_j`` (CoSENT, Huang et al.
    2024, https://doi.org/10.1109/TASLP.2024.3402087). Only the order of the targets counts, so they may be of any
    range. Divided by its scale, so that it is as large as the worst mistake in cosines and can be mixed with losses
    on answers.

    Args:
        cosines: (N,); the gradient flows here.
        targets: (N,), numbers; higher is more alike.

    Returns:
        A scalar >= 0, in float32; 0 where all targets are the same.
    """
    mistakes = SCALE * (cosines.float()[None, :] - cosines.float()[:, None])[targets[:, None] > targets[None, :]]
    return torch.cat([mistakes.new_zeros(1), mistakes]).logsumexp(dim=0) / SCALE


class SentenceEmbedding(ScoredTask):
    """A sample is a pair of texts, which a network reads apart, and a number: how alike they are.

    Args:
        score: Which correlation of the pairs' cosines with the numbers leads, ``spearman`` or ``pearson``; the other is
            in the report too.
        loss: ``loss(cosines, targets)``, (N,) each, in place of ``cosent``.
    """

    name = EMBEDDING
    modality = TEXTS
    answers = "vectors"
    axes = "tokens"
    remedy = "a Hugging Face folder of a network for texts, with its tokenizer"
    scores = SCORES
    usual_loss = staticmethod(cosent)

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """Both texts of each pair one after the other, (2N, tokens) each.

        Raises:
            DataError: The batch has no pairs.
        """
        if batch.inputs[0].dim() != 3:
            raise DataError(
                f"{self.name} wants pairs of texts with a number, how alike they are; the data has one text a row, or "
                "a network reads both as one",
                "--data-arg text=COLUMN --data-arg pair=COLUMN --data-arg target=COLUMN",
            )
        return tuple(tensor.flatten(0, 1) for tensor in batch.inputs)

    def forward(self, module: Callable[..., Tensor], batch: Batch) -> Tensor:
        """The vectors of both texts of each pair, (N, 2, width)."""
        vectors: Tensor = super().forward(module, batch).unflatten(0, (-1, 2))
        return vectors

    def call(self, batch: Batch) -> tuple[Tensor, ...]:
        """The first text of each pair, without padding that only the second needs: users ask about texts, not pairs."""
        inputs = tuple(tensor[::2] for tensor in self.inputs(batch))
        longest = int(inputs[1].sum(dim=1).max())
        return tuple(tensor[:, :longest] for tensor in inputs)

    def mask(self, batch: Batch) -> Tensor:
        """The attention mask, which text networks take second; (2N, tokens)."""
        return self.inputs(batch)[1]

    def counted(self, batch: Batch) -> Tensor:
        """Both texts of each pair, bool (N, 2)."""
        return torch.ones(len(batch.labels), 2, dtype=torch.bool, device=batch.labels.device)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """``cosent`` of the cosines of (N, 2, width) against (N,)."""
        vectors = outputs.float()
        return self._loss(functional.cosine_similarity(vectors[:, 0], vectors[:, 1]), batch.labels.float())

    def logits(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The outputs themselves, (N, 2, width)."""
        return outputs

    def score(self, outputs: npt.NDArray[np.float32], labels: npt.NDArray[Any], data: Data) -> Score:
        """Both correlations of the cosines of (N, 2, width) with (N,), the chosen one leading.

        Standard errors are a bootstrap over pairs. A correlation with numbers that are all the same is 0.
        """
        vectors = outputs.astype(np.float64)
        lengths = np.linalg.norm(vectors, axis=2).prod(axis=1)
        cosines = np.einsum("nw,nw->n", vectors[:, 0], vectors[:, 1]) / np.maximum(lengths, 1e-12)
        wanted = labels.astype(np.float64)
        correlations = {"spearman": spearman, "pearson": pearson}
        leading = correlations.pop(self.score_name)
        others = {name: correlation(cosines, wanted) for name, correlation in correlations.items()}
        return Score(leading(cosines, wanted), bootstrap(leading, cosines, wanted), None, others)

    def check(self, module: nn.Module, data: Data) -> None:
        """Targets must be numbers, samples pairs that are read apart, and the network gives a vector a text."""
        if not data.train.labels.is_floating_point():
            raise DataError(
                f"{self.name} wants numbers, how alike the texts of each pair are; '{data.source}' has classes",
                "--data-arg target=COLUMN for numbers, or --task text-classification for classes",
            )
        if data.tokenizer is not None and not data.tokenizer.apart:
            raise DataError(
                f"{self.name} wants a network that reads the texts of a pair apart, this one reads them as one",
                f"a Hugging Face folder as the model, with --task {self.name}",
            )
        self.inputs(data.batch("train", torch.arange(1)))
        outputs = self.trial(module, data)
        if outputs.dim() != 3:
            raise PlanError(
                f"{self.name} wants a vector a text, (N, width), the network gives {tuple(outputs.shape)}", self.remedy
            )
