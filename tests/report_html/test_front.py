"""The pictures and rows of a search."""

import xml.etree.ElementTree as ElementTree

from reports import full_report

from compressor.report import FrontPoint, Search
from compressor.report_html.front import front_plots, front_rows


def point(name: str, size: int, p50: float | None, drop: float, **more: bool) -> FrontPoint:
    return FrontPoint(
        name=name,
        made_by=["prune 50%, 4 epochs", "quantize", "export"],
        score=0.935 - drop,
        score_drop=drop,
        score_drop_stderr=0.001,
        size_bytes=size,
        latency_ms=p50,
        reference_latency_ms=None if p50 is None else 2.8,
        precision="int8",
        epochs=4,
        meets=drop <= 0.01,
        on_front=more.get("on_front", True),
        chosen=more.get("chosen", False),
        artifact="search/x/model.onnx",
        sha256="ab" * 32,
    )


POINTS = [
    point("p01", 2_000_000, 0.9, 0.001),
    point("p02", 2_100_000, 1.0, 0.004, on_front=False),
    point("p03", 450_000, 0.2, 0.0045, chosen=True),
    point("p04", 100_000, 0.1, 0.03),
]


def searched(points: list[FrontPoint], **goals: float) -> Search:
    return Search(objective="size", goals=goals, split="validation", samples=2000, epochs=30, seconds={}, front=points)


def test_every_point_is_drawn_once_and_as_what_it_is() -> None:
    plots = front_plots(full_report(search=searched(POINTS, score_drop=0.01, size_mb=1.0)))
    assert len(plots) == 2
    for plot in plots:
        circles = [node.get("class") for node in ElementTree.fromstring(plot).iter() if node.tag.endswith("circle")]
        assert sorted(filter(None, circles)) == sorted(
            ["dot-reference", "dot-front", "dot-other", "dot-chosen", "dot-front", "dot-test"]
        )
    (region,) = [node for node in ElementTree.fromstring(plots[0]).iter() if node.tag.endswith("rect")]
    assert float(region.get("width", "0")) > 0 and float(region.get("height", "0")) > 0


def test_without_a_clock_there_is_one_picture_and_without_a_search_none() -> None:
    points = [one.model_copy(update={"latency_ms": None}) for one in POINTS]
    assert len(front_plots(full_report(search=searched(points, score_drop=0.01)))) == 1
    assert front_plots(full_report()) == [] and front_rows(full_report()) == []


def test_rows_have_the_front_first() -> None:
    rows = front_rows(full_report(search=searched(POINTS)))
    assert [row["name"] for row in rows] == ["p04", "p03 (chosen)", "p01", "p02"]
    assert rows[0]["verdict"] == "missed" and rows[1]["verdict"] == "met"
    assert rows[1]["smaller"] == "99.6x" and rows[1]["faster"] == "14x"
    assert rows[1]["change"] == "-0.45 ± 0.10"
