"""Settings are read strictly, whatever of: bools, texts, infinities, huge counts."""

from typing import Any

import pytest
from pydantic import ValidationError

from compressor.distill.settings import FeatureTerm, KdSettings
from compressor.target import Budget, Target
from compressor.training import TrainSettings

TARGET = {"runtime": "onnxruntime"}


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (TrainSettings, {"lr": float("inf")}),
        (TrainSettings, {"lr": 10**400}),
        (TrainSettings, {"weight_decay": float("nan")}),
        (TrainSettings, {"lr": True}),
        (TrainSettings, {"lr": "0.1"}),
        (TrainSettings, {"epochs": True}),
        (TrainSettings, {"epochs": 2.0}),
        (TrainSettings, {"epochs": 10**10}),
        (TrainSettings, {"batch_size": 10**5000}),
        (KdSettings, {"temperature": float("inf")}),
        (KdSettings, {"terms": {"loss": "hint"}}),
        (KdSettings, {"terms": [{"loss": "hint", "weight": True}]}),
        (Target, {**TARGET, "threads": True}),
        (Budget, {"latency_ms": float("inf")}),
    ],
)
def test_values_of_another_kind_are_refused(table: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        table.model_validate(values)


def test_whole_numbers_are_numbers_and_lists_are_tuples() -> None:
    assert TrainSettings(lr=1).lr == 1.0
    assert Budget.model_validate({"macs": 5 * 10**9}).macs == 5e9
    kd = KdSettings.model_validate({"terms": [{"loss": "hint", "layers": [["a", "b"]]}]})
    assert kd.terms == (FeatureTerm(loss="hint", layers=(("a", "b"),)),)
    assert KdSettings.model_validate_json(kd.model_dump_json()) == kd
