"""Goals as they are typed, what follows from them, and what contradicts itself."""

import pytest

from compressor.cli.goals import goals_of
from compressor.errors import InputError
from compressor.target import Goals

PROFILE = Goals(score_drop=0.01, size=0.25, hours=3.0)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ({}, PROFILE),
        ({"max_drop": "0.005"}, Goals(score_drop=0.005, minimize="size", hours=3.0)),
        ({"max_size": "500kB"}, Goals(size_mb=0.5, hours=3.0)),
        ({"max_size": "2 MB", "max_drop": "0.01"}, Goals(size_mb=2, score_drop=0.01, minimize="latency", hours=3.0)),
        ({"max_latency": "5ms", "maximize": "score"}, Goals(latency_ms=5, maximize="score", hours=3.0)),
        ({"max_latency": "0.5s"}, Goals(latency_ms=500, hours=3.0)),
        ({"max_params": "250k", "max_macs": "1.5G"}, Goals(params=250_000, macs=1.5e9, hours=3.0)),
        ({"max_drop": "0.01", "minimize": "latency"}, Goals(score_drop=0.01, minimize="latency", hours=3.0)),
        ({"hours": "0.5", "confidence": "0.95"}, PROFILE.model_copy(update={"hours": 0.5, "confidence": 0.95})),
        ({"minimize": "size"}, PROFILE.model_copy(update={"minimize": "size"})),
    ],
)
def test_what_is_typed_stands_in_place_of_the_profiles_limits(typed: dict[str, str], wanted: Goals) -> None:
    assert goals_of(typed, PROFILE) == wanted


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"max_size": "500"}, None),
        ({"max_size": "500 kilos"}, "a number with a unit of B, kB"),
        ({"max_size": "-1MB"}, "a number with a unit"),
        ({"max_size": "0MB"}, "greater than 0"),
        ({"max_size": "9" * 400}, "a number with a unit"),
        ({"max_latency": "5"}, "a unit of ms"),
        ({"max_drop": "one"}, "wanted a number"),
        ({"max_drop": "0.01", "minimize": "size", "maximize": "score"}, "exclude one another"),
        ({"maximize": "score", "max_drop": "0.01"}, "needs a limit on size"),
        ({"minimize": "size", "max_size": "1MB"}, "needs score_drop"),
        ({"minimize": "params", "max_drop": "0.01"}, "wanted 'size' or 'latency'"),
        ({"hours": "0"}, "greater than 0"),
        ({"confidence": "1"}, "less than 1"),
        ({"max_params": "0.5"}, "wanted more than 1"),
    ],
)
def test_what_cannot_be_read_or_contradicts_itself(typed: dict[str, str], said: str | None) -> None:
    if said is None:
        assert goals_of(typed, Goals()).size_mb == pytest.approx(0.0005)
        return
    with pytest.raises(InputError) as caught:
        goals_of(typed, Goals())
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("goals", "objective"),
    [
        (Goals(score_drop=0.01), "size"),
        (Goals(score_drop=0.01, latency_ms=5), "size"),
        (Goals(score_drop=0.01, size=0.5), "latency"),
        (Goals(size_mb=1), "score"),
        (Goals(params=1000), "score"),
        (Goals(score_drop=0.01, size=0.5, minimize="size"), "size"),
    ],
)
def test_what_follows_from_limits(goals: Goals, objective: str) -> None:
    assert goals.objective == objective
