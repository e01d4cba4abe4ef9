"""What a search measured as pictures and rows: every point, the front among them, the goal and what was made of it."""

from collections.abc import Callable, Sequence
from html import escape

from compressor.figures import Figure, number, points, times, whole
from compressor.pareto import unbeaten
from compressor.report import Baseline, FrontPoint, Report, in_ms_of
from compressor.report_html.plot import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axes, Point

# Drawn differently: what it is, its letter in the class, its radius.
RADIUS = {"other": 3.0, "front": 4.5, "chosen": 6.0, "test": 5.0, "control": 5.0, "reference": 4.5}
CostOf = Callable[[FrontPoint], float | None]


def front_plots(report: Report) -> list[str]:
    """Change of the score against size and, where it was measured, against latency; none without a search."""
    search, first, last = report.search, report.stages[0], report.stages[-1]
    if search is None or not search.front:
        return []
    reference_ms = first.latency_ms.p50 if first.latency_ms else None

    def in_reference_ms(point: FrontPoint) -> float | None:
        # Each was timed beside the reference; on a busy machine only the ratio holds.
        if point.latency_ms is None or not point.reference_latency_ms or reference_ms is None:
            return None
        return point.latency_ms / point.reference_latency_ms * reference_ms

    goals, drawn = search.goals, []
    size = None if first.size_bytes is None else first.size_bytes / 1e6
    limits = [
        (goals.get("size_mb"), size and goals.get("size", 0.0) * size),
        (goals.get("latency_ms"), reference_ms and goals.get("latency", 0.0) * reference_ms),
    ]
    last_ms = in_ms_of(last.latency_ms, first.latency_ms)
    costs: Sequence[tuple[str, CostOf, float | None, float | None]] = (
        ("size, MB", lambda point: point.size_bytes / 1e6, size, last.size_bytes and last.size_bytes / 1e6),
        ("latency p50, ms", in_reference_ms, reference_ms, last_ms),
    )
    for (name, cost, reference, final), typed in zip(costs, limits, strict=True):
        if reference is None or any(cost(point) is None for point in search.front):
            continue
        most = min((limit for limit in typed if limit), default=None)
        drawn.append(_plot(report, name, cost, reference, final, most))
    return drawn


def _plot(report: Report, name: str, cost: CostOf, reference: float, final: float | None, most: float | None) -> str:
    search, last = report.search, report.stages[-1]
    assert search is not None
    placed: list[tuple[str, Point]] = [("reference", Point("reference", reference, 0.0))]
    for point in search.front:
        kind = "chosen" if point.chosen else "front" if point.on_front else "other"
        x = cost(point)
        assert x is not None
        error = 100 * (point.score_drop_stderr or 0.0)
        placed.append((kind, Point(point.name, x, -100 * point.score_drop, error if kind != "other" else 0.0)))
    if len(report.stages) > 1 and final and last.score_drop is not None:
        shown = Point("on the test split", final, -100 * last.score_drop, 100 * (last.score_drop_stderr or 0.0))
        placed.append(("test", shown))
        if last.kd is not None and last.kd.difference is not None:
            lower = shown.y - 100 * last.kd.difference
            placed.append(("control", Point("the same without distillation, on the test split", final, lower)))
    axes = Axes([point for _, point in placed], name, f"{report.score.name} against the reference, points", least=0.5)
    parts = axes.drawn()
    drop = search.goals.get("score_drop")
    if drop is not None or most is not None:
        right = WIDTH - RIGHT if most is None else axes.across(most)
        bottom = HEIGHT - BOTTOM if drop is None else axes.down(-100 * drop)
        parts.append(
            f'<rect class="goal" x="{LEFT}" y="{TOP}" width="{right - LEFT:.1f}" height="{bottom - TOP:.1f}">'
            "<title>where the goals are met</title></rect>"
        )
    # Of those that are on the front for all three figures, the ones that no other beats in the two that are drawn.
    dots = [(dot.x, -dot.y) for kind, dot in placed if kind in ("front", "chosen")]
    line = sorted((x, -y) for (x, y), stays in zip(dots, unbeaten(dots), strict=True) if stays)
    joined = " ".join(f"{axes.across(x):.1f},{axes.down(y):.1f}" for x, y in line)
    parts.append(f'<polyline class="path" points="{joined}"/>')
    for kind, dot in placed:
        x, y = axes.across(dot.x), axes.down(dot.y)
        if dot.error:
            low, high = axes.down(dot.y - dot.error), axes.down(dot.y + dot.error)
            parts.append(f'<line class="error" x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}"/>')
        parts.append(
            f'<circle class="dot-{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS[kind]}">'
            f"<title>{escape(dot.name)}: {dot.x:.4g}, {dot.y:+.2f} points</title></circle>"
        )
    return "".join([*parts, "</svg>"])


def baseline_rows(report: Report) -> list[dict[str, str]]:
    """What the search chose and what simpler ways found, for a table; none without them."""
    search, size = report.search, report.stages[0].size_bytes
    if search is None or not search.baselines:
        return []
    found: list[tuple[str, FrontPoint | Baseline, int]]
    found = [("this search", point, search.epochs) for point in search.front if point.chosen]
    found += [(row.name, row, row.epochs) for row in search.baselines]
    return [{"name": name, "epochs": whole(epochs), **_figures(one, size)} for name, one, epochs in found]


def front_rows(report: Report) -> list[dict[str, str]]:
    """The points for the table, those on the front first, the smallest on top."""
    search, size = report.search, report.stages[0].size_bytes
    if search is None:
        return []
    return [
        {
            "name": point.name + (" (chosen)" if point.chosen else ""),
            "precision": point.precision,
            "epochs": whole(point.epochs),
            "front": "yes" if point.on_front else "",
            **_figures(point, size),
        }
        for point in sorted(search.front, key=lambda point: (not point.on_front, point.size_bytes))
    ]


def _figures(one: FrontPoint | Baseline, reference_bytes: int | None) -> dict[str, str]:
    return {
        "size": Figure(f"{one.size_bytes / 1000:,.4g}", one.size_bytes),
        "smaller": times(reference_bytes, one.size_bytes),
        "p50": number(one.latency_ms),
        "faster": times(one.reference_latency_ms, one.latency_ms),
        "change": points(one.score_drop, one.score_drop_stderr),
        "verdict": "met" if one.meets else "missed",
        "made_by": "; ".join(one.made_by),
    }
