"""Regression: one number per text, or per pair of texts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn import functional

from compressor.data import Batch, Data
from compressor.errors import DataError, PlanError
from compressor.tasks import Score, ScoredTask
from compressor.tasks.texts import TEXTS

ERRORS = ("rmse", "mae")
SCORES = (*ERRORS[:1], "pearson", "spearman", *ERRORS[1:])
ROUNDS = 100


class TextRegression(ScoredTask):
    """Squared error against numbers; scored by its root, the mean error, or a correlation.

    Args:
        score: Which of ``rmse``, ``pearson``, ``spearman``, ``mae`` leads; the others are in the report too.
        loss: ``loss(outputs, targets)``, (N,) each, in place of the mean squared error.
    """

    name = "text-regression"
    modality = TEXTS
    answers = "values"
    axes = "tokens"
    remedy = "a Hugging Face folder of a network for texts, with its tokenizer"
    scores = SCORES
    usual_loss = staticmethod(functional.mse_loss)

    def __init__(self, score: str | None = None, loss: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__(score, loss)
        self.higher_is_better = self.score_name not in ERRORS

    def mask(self, batch: Batch) -> Tensor:
        """The attention mask, which text networks take second."""
        return batch.inputs[1]

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean squared error of (N, 1) against (N,)."""
        return self._loss(outputs.float().squeeze(1), batch.labels.float())

    def logits(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The outputs themselves, (N, 1)."""
        return outputs

    def score(self, outputs: npt.NDArray[np.float32], labels: npt.NDArray[Any], data: Data) -> Score:
        """All four scores of (N, 1) outputs against (N,) targets, in the targets' own unit, the chosen one leading.

        The standard error of the mean absolute error is that of a mean, of the root of a mean it is by the delta
        method half of that mean's over the root; those of correlations are a bootstrap over samples. A
        correlation with numbers that are all the same is 0.
        """
        found, wanted = outputs[:, 0].astype(np.float64), labels.astype(np.float64)
        errors = np.abs(found - wanted)
        values = {
            "rmse": float(np.sqrt(np.mean(errors**2))),
            "pearson": pearson(found, wanted),
            "spearman": spearman(found, wanted),
            "mae": float(errors.mean()),
        }
        value = values.pop(self.score_name)
        if self.score_name == "mae":
            return Score(value, _stderr(errors), errors, values)
        if self.score_name == "rmse":
            return Score(value, _stderr(errors**2) / (2 * value) if value else 0.0, None, values)
        correlation = pearson if self.score_name == "pearson" else spearman
        return Score(value, bootstrap(correlation, found, wanted), None, values)

    def check(self, module: nn.Module, data: Data) -> None:
        """Targets must be numbers, and the network gives one."""
        if not data.train.labels.is_floating_point():
            raise DataError(
                f"{self.name} wants numbers, '{data.source}' has classes",
                "--data-arg target=COLUMN for numbers, or --task text-classification for classes",
            )
        outputs = self.trial(module, data)
        if outputs.dim() != 2 or outputs.shape[1] != 1:
            raise PlanError(
                f"{self.name} wants one number a text, (N, 1), the network gives {tuple(outputs.shape)}",
                f"compress train FOLDER --task {self.name} --data ..., which gives it such a head",
            )


def pearson(found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> float:
    """The correlation of (N,) with (N,), -1 to 1; 0 where either is constant."""
    return _correlation("pearsonr", found, wanted)


def spearman(found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> float:
    """The correlation of the ranks of (N,) and (N,), equal numbers sharing the mean of theirs; 0 as above."""
    return _correlation("spearmanr", found, wanted)


def bootstrap(
    correlation: Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], float],
    found: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
) -> float:
    """The standard deviation of a score over samples drawn anew with replacement."""
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, len(found), len(found)) for _ in range(ROUNDS))
    return float(np.std([correlation(found[chosen], wanted[chosen]) for chosen in drawn]))


def _correlation(kind: str, found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> float:
    # Every task is imported to know which there are, and this takes most of a second.
    from scipy import stats

    if len(found) < 2 or not np.ptp(found) or not np.ptp(wanted):
        return 0.0
    return float(getattr(stats, kind)(found, wanted).statistic)


def _stderr(values: npt.NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
