"""What each part of a network is to its score, as rows: what costs most on top."""

from compressor.figures import points, whole
from compressor.report import Report, Sensitivity


def sensitivity_rows(report: Report) -> list[dict[str, str]]:
    """The parts that a search measured alone, those that cost most first, those that weren't measured last."""
    if report.search is None:
        return []
    ordered = sorted(report.search.sensitivity, key=lambda one: float("inf") if one.drop is None else -one.drop)
    return [_row(one) for one in ordered]


def _row(one: Sensitivity) -> dict[str, str]:
    more = f" and {len(one.layers) - 1} more" if len(one.layers) > 1 else ""
    done = "int8" if one.kind == "precision" else "channels removed"
    return {
        "name": one.name + more,
        "layers": ", ".join(one.layers),
        "done": done if one.ratio is None else f"{one.ratio:.0%} of its {done}",
        "change": points(one.drop, one.stderr),
        "params": whole(one.params),
        "macs": whole(one.macs),
        "reason": one.reason,
    }
