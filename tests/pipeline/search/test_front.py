"""What meets the goals, what is best, and what nothing beats."""

from statistics import NormalDist
from typing import Any

import pytest
from imagined import REFERENCE

from compressor.pipeline.search.front import Judge, front_of
from compressor.pipeline.search.work import Node
from compressor.report import Latency, StageRecord
from compressor.target import Goals


def file(name: str, size: int, p50: float | None, drop: float, stderr: float = 0.002, **more: Any) -> Node:
    latency = None if p50 is None else Latency(p50=p50, reference_p50=2.0, runtime="imagined")
    record = StageRecord(
        name=name,
        kind="export",
        seconds=0.0,
        size_bytes=size,
        score=0.9 - drop,
        score_drop=drop,
        score_drop_stderr=stderr,
        latency_ms=latency,
        **more,
    )
    return Node(name, (), name, None, (record,))


FILES = [
    file("large", 1000, 1.0, 0.001),
    file("beaten", 1200, 1.1, 0.002),
    file("small", 300, 0.6, 0.0075),
    file("fast", 400, 0.4, 0.0075),
    file("tiny", 100, 0.3, 0.030),
]


def judge(**goals: Any) -> Judge:
    return Judge(Goals(**goals), REFERENCE)


def test_what_nothing_beats() -> None:
    assert front_of(FILES) == {"large", "small", "fast", "tiny"}
    # Of two alike both stay.
    assert front_of([FILES[0], file("twin", 1000, 1.0, 0.001)]) == {"large", "twin"}


@pytest.mark.parametrize(
    ("goals", "best"),
    [
        ({"score_drop": 0.01}, "small"),
        ({"score_drop": 0.01, "minimize": "latency"}, "fast"),
        ({"score_drop": 0.05}, "tiny"),
        ({"score_drop": 0.01, "size_mb": 0.0005}, "fast"),
        ({"size_mb": 0.0005}, "small"),
        ({"latency_ms": 0.5}, "fast"),
        ({"latency_ms": 0.5, "size_mb": 0.0002}, "tiny"),
        ({"score_drop": 0.0001}, None),
    ],
)
def test_the_best_that_meets_the_goals(goals: dict[str, Any], best: str | None) -> None:
    found = judge(**goals).best(FILES)
    assert (found.name if found else None) == best


def test_with_a_probability_the_error_counts() -> None:
    drop, error = 0.0075, 0.002
    asked = judge(score_drop=0.01, confidence=0.95)
    assert asked.drop(FILES[2].measured) == pytest.approx(drop + NormalDist().inv_cdf(0.95) * error)
    found = asked.best(FILES)
    assert found is not None and found.name == "large"


@pytest.mark.parametrize(("error", "in_hand"), [(0.002, 0.002), (0.02, 0.005), (0.0, 0.0)])
def test_an_error_is_kept_in_hand_but_no_more_than_half_of_the_goal(error: float, in_hand: float) -> None:
    asked = judge(score_drop=0.01)
    at_the_limit = file("at the limit", 100, 0.3, 0.01, error)
    assert asked.spare(at_the_limit.measured) == pytest.approx(-in_hand)
    inside = file("inside", 200, 0.4, 0.01 - in_hand, error)
    found = asked.best([at_the_limit, inside])
    assert found is not None and found.name == ("inside" if error else "at the limit")
    # Nothing else being there, what was measured counts.
    assert asked.best([at_the_limit]) is at_the_limit and asked.meets(at_the_limit.measured)
    assert asked.lacking([at_the_limit]) == ""


def test_the_nearest_where_none_does() -> None:
    assert judge(score_drop=0.0001).nearest(FILES).name == "large"
    assert judge(score_drop=0.01, size_mb=0.00005).nearest(FILES).name == "tiny"
    said = judge(score_drop=0.01, size_mb=0.00005).lacking(FILES)
    assert said.endswith("tiny comes nearest, with score_drop = 0.0300 of 0.01 and size_mb = 0.0001 of 5e-05")
    assert judge(score_drop=0.01).lacking(FILES) == judge(score_drop=0.01).lacking([]) == ""


def test_without_a_clock_arithmetic_is_the_cost() -> None:
    files = [file("a", 300, None, 0.0, macs=500), file("b", 400, None, 0.0, macs=400)]
    found = judge(score_drop=0.01, minimize="latency").best(files)
    assert found is not None and found.name == "b"
