"""The trainings of a run, epoch by epoch: score on validation and loss."""

from html import escape

from compressor.report import Report
from compressor.report_html.plot import Axes, Point

# Fewer epochs make no curve.
FEWEST = 2


def training_curves(report: Report) -> list[str]:
    """Score and loss over the epochs of all stages that trained; none where they trained for less than two."""
    trained = [
        (record.name, [row for row in record.metrics.get("history", []) if isinstance(row, dict)])
        for record in report.stages
    ]
    drawn = []
    for key, name in (("score", f"{report.score.name} on validation"), ("loss", "loss")):
        curves, epoch = [], 0
        for stage, history in trained:
            values = [row.get(key) for row in history]
            points = [
                Point(stage, float(epoch + place), float(value))
                for place, value in enumerate(values, 1)
                if isinstance(value, (int, float))
            ]
            epoch += len(history)
            curves += [points] if points else []
        if sum(map(len, curves)) >= FEWEST:
            drawn.append(_drawn(curves, name))
    return drawn


def _drawn(curves: list[list[Point]], name: str) -> str:
    axes = Axes([point for points in curves for point in points], "epoch, all stages", name, counted=True)
    parts = axes.drawn()
    for points in curves:
        line = " ".join(f"{axes.across(point.x):.1f},{axes.down(point.y):.1f}" for point in points)
        parts.append(f'<polyline class="curve" points="{line}"><title>{escape(points[0].name)}</title></polyline>')
        for point in points:
            told = f"{escape(point.name)}, epoch {point.x:.0f}: {point.y:.4f}"
            x, y = axes.across(point.x), axes.down(point.y)
            parts.append(f'<circle class="stage" cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>{told}</title></circle>')
    return "".join([*parts, "</svg>"])
