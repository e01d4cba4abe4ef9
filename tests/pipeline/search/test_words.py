"""Stages in words."""

import pytest

from compressor.distill.recover_stage import Recover
from compressor.distill.stage import Distill, StudentBudget
from compressor.pipeline.foresight import SMALLEST
from compressor.pipeline.search.words import in_words
from compressor.prune.budget import PruneBudget
from compressor.prune.stage import Prune
from compressor.quantize.stage import Quantize
from compressor.stage import Stage
from compressor.training import TrainSettings

SHORT = TrainSettings(epochs=2)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Prune(ratio=0.5, train=SHORT), "prune 50%, 2 epochs"),
        (
            Prune(ratio=0.25, importance="taylor", scope="global", train=SHORT),
            "prune 25% over all layers together by taylor, 2 epochs",
        ),
        (Prune(budget=PruneBudget(params=0.125), train=SHORT), "prune to params = 0.125, 2 epochs"),
        (Prune(heads=0.5, neurons=0.75, train=SHORT), "prune 50% of heads, 75% of neurons, 2 epochs"),
        (Distill(train=SHORT), "distill, 2 epochs"),
        (
            Distill(student="auto", budget=StudentBudget(params=0.5), train=SHORT),
            "distill into 0.5 of the parameters, 2 epochs",
        ),
        (
            Distill(student="auto", budget=StudentBudget(params=250_000), train=SHORT),
            "distill into at most 250,000 parameters, 2 epochs",
        ),
        (
            Distill(student="auto", budget=StudentBudget(**SMALLEST, nearest=True), train=SHORT),
            "distill into the smallest relative, 2 epochs",
        ),
        (Recover(train=SHORT), "recover, 2 epochs"),
        (Quantize(train=SHORT), "quantize, 2 epochs"),
        (Quantize(train=SHORT, qat=False), "quantize"),
    ],
)
def test_what_is_said(stage: Stage, words: str) -> None:
    assert in_words(stage) == words
