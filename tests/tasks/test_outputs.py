"""Which tensor of an output the answers are, what they end in, and the words for it."""

from typing import Any

import pytest
import torch

from compressor.models import OutputRule
from compressor.tasks.outputs import choose, described, end_of, kind_of, listed, tensors_in

FEATURES, LOGITS, OTHERS = torch.zeros(4, 32), torch.zeros(4, 10), torch.ones(4, 10)


@pytest.mark.parametrize(
    ("output", "path"),
    [
        ((LOGITS, OTHERS), "0"),
        ((FEATURES, LOGITS), "1"),
        ({"aux": OTHERS, "out": LOGITS}, "out"),
        ({"a": FEATURES, "b": {"c": LOGITS}}, "b.c"),
        ({"logits": torch.zeros(4, 12)}, "logits"),
        ({"x": torch.zeros(4, 12), "y": torch.zeros(4, 13)}, "y"),
        ((FEATURES, torch.zeros(4, 12)), None),
        ((), None),
    ],
)
def test_the_answers_are_chosen(output: Any, path: str | None) -> None:
    assert choose(output, lambda tensor: tensor.dim() == 2, 10) == path


def test_what_may_not_be_answers_is_passed_over() -> None:
    assert choose((LOGITS, FEATURES), lambda tensor: tensor is FEATURES, 10) == "1"


def test_an_output_in_words() -> None:
    assert listed({"a": FEATURES, "b": [LOGITS.long()]}) == "a dict of a (4, 32), b.0 (4, 10) of int64"
    assert listed(None) == "a NoneType without tensors"
    assert listed([LOGITS] * 9).endswith("and 3 more")
    assert kind_of(LOGITS.bool()) == "(4, 10) of bool"
    assert [path for path, _ in tensors_in((LOGITS, None, "text", [LOGITS]))] == ["0", "3.0"]


def test_ends() -> None:
    logits = torch.randn(5, 7)
    assert end_of(logits) == ""
    assert end_of(logits.softmax(1)) == "softmax"
    assert end_of(logits.half().softmax(1)) == ""  # half precision sums to 1 within 1e-3 only
    assert end_of(logits.log_softmax(1)) == "log_softmax"
    assert end_of(logits.sigmoid()) == ""
    assert end_of(torch.ones(5, 1)) == ""


def test_a_rule_in_words() -> None:
    assert described(None) == []
    assert len(described(OutputRule(eval="0", training="1", keeps_batch=True, ends="sigmoid", dropped=("side",)))) == 5
    assert "'logits'" in described(OutputRule(training="logits"))[0]
    assert "in training mode" in described(OutputRule(training="logits"))[0]
