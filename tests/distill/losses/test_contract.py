"""Every public loss keeps the contract; one without a row fails."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from compressor.distill import losses
from compressor.testing import LossContract

LABELS = torch.tensor([0, 3, 1, 4, 2, 2])


def labels(count: int) -> tuple[Tensor, ...]:
    return (LABELS[:count],)


def mask(count: int) -> tuple[Tensor, ...]:
    real = torch.ones(count, 4)
    real[::2, 3] = 0
    return (real,)


def nothing(count: int) -> tuple[Tensor, ...]:
    return ()


@dataclass(frozen=True)
class Row:
    """How a loss is called, and what a perfect student gives."""

    loss: Callable[..., Any]
    student: tuple[int, ...] = (5,)
    teacher: tuple[int, ...] = (5,)
    extras: Callable[[int], tuple[Tensor, ...]] = nothing
    over_pairs: bool = False
    smoothing: float = 0.0


def smoothed(student: Tensor, teacher: Tensor, classes: Tensor) -> Tensor:
    """Label smoothing looks at no teacher; this one reaches it by nothing."""
    return losses.label_smoothing(student, classes, 0.1)


MAP, TOKENS, HEADS = (3, 4, 4), (4, 6), (2, 4, 4)
ROWS = {
    "kd_kl": [Row(losses.kd_kl)],
    "decoupled_kd": [Row(losses.decoupled_kd, extras=labels)],
    "logit_mse": [Row(losses.logit_mse)],
    "label_smoothing": [Row(smoothed, extras=labels, smoothing=0.1)],
    "hint": [Row(losses.hint, MAP, MAP), Row(losses.hint, TOKENS, TOKENS), Row(losses.hint, (3, 4, 4), (3, 2, 2))],
    "hidden_states": [Row(losses.hidden_states, TOKENS, TOKENS), Row(losses.hidden_states, TOKENS, TOKENS, mask)],
    "cosine": [Row(losses.cosine), Row(losses.cosine, TOKENS, TOKENS)],
    "attention_transfer": [Row(losses.attention_transfer, MAP, MAP), Row(losses.attention_transfer, MAP, (7, 2, 2))],
    "attention_matrices": [
        Row(losses.attention_matrices, HEADS, HEADS),
        Row(losses.attention_matrices, HEADS, (3, 4, 4)),
        Row(losses.attention_matrices, HEADS, HEADS, mask),
    ],
    "cosine_similarities": [
        Row(losses.cosine_similarities, over_pairs=True),
        Row(losses.cosine_similarities, (5,), (9,), over_pairs=True),
    ],
    "rkd_distance": [Row(losses.rkd_distance, over_pairs=True), Row(losses.rkd_distance, MAP, (9,), over_pairs=True)],
    "rkd_angle": [Row(losses.rkd_angle, over_pairs=True), Row(losses.rkd_angle, MAP, (9,), over_pairs=True)],
    "similarity_preserving": [
        Row(losses.similarity_preserving, over_pairs=True),
        Row(losses.similarity_preserving, MAP, (9,), over_pairs=True),
    ],
}
CASES = [pytest.param(row, id=f"{name}-{index}") for name, rows in ROWS.items() for index, row in enumerate(rows)]


def test_every_loss_has_a_row() -> None:
    assert set(ROWS) == set(losses.__all__)


@pytest.mark.parametrize("row", CASES)
class TestEveryLoss(LossContract):
    @pytest.fixture(autouse=True)
    def _row(self, row: Row) -> None:
        self.row = row
        type(self).loss = staticmethod(row.loss)
        self.student_shape, self.teacher_shape, self.over_pairs = row.student, row.teacher, row.over_pairs

    def extras(self, count: int) -> tuple[Tensor, ...]:
        return self.row.extras(count)

    def best(self, teacher: Tensor, extras: tuple[Tensor, ...]) -> tuple[Tensor, float]:
        if not self.row.smoothing:
            return teacher, 0.0
        share = self.row.smoothing / 5
        target = torch.full((len(teacher), 5), share).scatter(1, extras[0][:, None], 1 - 4 * share)
        return target.log(), float(-(target[0] * target[0].log()).sum())
