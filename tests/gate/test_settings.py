"""What a gate may be asked."""

from typing import Any

import pytest
from pydantic import ValidationError

from compressor.gate import Gate


def test_units_and_bare_numbers() -> None:
    asked = Gate.model_validate({"max_size": "1.5MiB", "max_latency": "8ms", "max_params": "250k", "max_macs": 1000})
    assert asked.limits == {
        "max_size": pytest.approx(1.572864),
        "max_latency": 8.0,
        "max_params": 250e3,
        "max_macs": 1000,
    }
    assert Gate.model_validate({"max_size": 2_000_000}).max_size == 2.0
    assert Gate.model_validate({"tolerate": {"size": "5%", "score": 0.01}}).tolerate.size == pytest.approx(0.05)


@pytest.mark.parametrize(
    "given",
    [
        {"max_size": 0},
        {"max_size": "2mb"},
        {"max_size": True},
        {"max_size": [1]},
        {"max_size": "-1MB"},
        {"max_latency": 8},
        {"max_latency": "0.1us"},
        {"max_latency": float("nan")},
        {"min_score": float("nan")},
        {"max_score_drop": -0.1},
        {"max_params": 0.5},
        {"confidence": 1},
        {"seconds": 0},
        {"undecided": "maybe"},
        {"tolerate": {"size": -1}},
        {"tolerate": {"weight": 1}},
        {"max_sise": "2MB"},
    ],
)
def test_what_cannot_be_asked(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Gate.model_validate(given)
