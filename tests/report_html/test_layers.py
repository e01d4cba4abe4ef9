"""Layers as rows of the page: before and after, in which numbers, and why."""

import reports

from compressor.report import Layer, Report, Search, Sensitivity
from compressor.report_html.layers import GONE, layer_rows, layers_told


def convolution(name: str, channels: int, precision: str = "float32", **told: str) -> Layer:
    return Layer(name=name, kind="Conv2d", channels=channels, weights=100 * channels, precision=precision, **told)


def with_layers(*by_stage: list[Layer], **changes: object) -> Report:
    """The last stages of the full report, with these layers."""
    report = reports.full_report(**changes)
    pairs = zip(report.stages, by_stage, strict=True)
    return report.model_copy(update={"stages": [one.model_copy(update={"layers": layers}) for one, layers in pairs]})


REFERENCE = [convolution("stem", 64), convolution("late", 64), convolution("fc", 10)]
STUDENT = [convolution("stem", 32), convolution("new", 32), convolution("fc", 10)]
PRUNED = [convolution("stem", 16), convolution("new", 32, kept="set in skip"), convolution("fc", 10, kept="outputs")]
QUANTIZED = [
    convolution("fc", 10, "float32", in_float="too slow"),
    convolution("stem", 16, "int4"),
    convolution("new", 32, "int8"),
]


def test_rows_hold_what_became_of_each_layer() -> None:
    report = with_layers(REFERENCE, STUDENT, PRUNED, QUANTIZED)
    rows = {row["name"]: row for row in layer_rows(report)}
    assert list(rows) == ["stem", "late", "fc", "new"]
    stem, late, fc, new = rows.values()
    assert (stem["channels"], stem["channels_before"]) == ("16", "64")
    assert (stem["weights"], stem["weights_before"]) == ("1,600", "6,400")
    assert (stem["precision"], stem["why"]) == ("int4", "")
    assert (late["channels"], late["why"]) == ("", GONE)
    assert fc["why"] == "all channels: outputs; float32: too slow"
    # Before is the student's: the reference has no such layer.
    assert (new["channels_before"], new["why"]) == ("32", "all channels: set in skip")
    assert layers_told(report) == "3 layers, 1 in float32, 1 in int4, 1 in int8; 5.8 k of 13.8 k weights"


def test_a_layer_that_lost_channels_elsewhere_was_not_left_alone() -> None:
    twice = [convolution("stem", 8), *PRUNED[1:]]
    told = [convolution("stem", 64, kept="by the first of two"), *REFERENCE[1:]]
    (stem, *_) = layer_rows(with_layers(REFERENCE, told, twice, twice))
    assert stem["why"] == ""


def test_what_each_lost_alone_stands_beside_it() -> None:
    def part(kind: str, drop: float | None, ratio: float | None, *layers: str) -> Sensitivity:
        return Sensitivity.model_validate(
            {"name": layers[0], "kind": kind, "layers": layers, "ratio": ratio, "drop": drop, "stderr": 0.001}
        )

    parts = [
        part("channels", 0.02, 0.5, "stem", "late"),
        part("channels", 0.01, 0.25, "stem", "late"),
        part("precision", 0.004, None, "fc"),
        part("precision", None, None, "late"),
    ]
    search = Search(objective="size", goals={}, split="validation", samples=9, epochs=1, seconds={}, sensitivity=parts)
    rows = {row["name"]: row for row in layer_rows(with_layers(REFERENCE, STUDENT, PRUNED, QUANTIZED, search=search))}
    assert (rows["stem"]["cut"], rows["stem"]["rounded"]) == ("-2.00 ± 0.10", "–")
    assert (rows["late"]["cut"], rows["late"]["rounded"]) == ("-2.00 ± 0.10", "–")
    assert (rows["fc"]["cut"], rows["fc"]["rounded"]) == ("–", "-0.40 ± 0.10")


def test_reports_of_earlier_releases_list_none() -> None:
    assert layer_rows(reports.full_report()) == []
