"""A scatter plot as inline SVG: score against what it costs, on a logarithmic axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 20, 44
TICK_STEPS = (1, 2, 5)
# Of a label: pixels from its marker, about one letter's and one line's; rows tried before it may cover another.
LABEL_GAP, LETTER_WIDTH, LINE_HEIGHT, MOST_ROWS = 8, 6.6, 13, 6


@dataclass(frozen=True, slots=True)
class Point:
    """One stage: what it costs (above 0), its score and the score's standard error."""

    name: str
    x: float
    y: float
    error: float = 0.0


def scatter(points: Sequence[Point], x_name: str, y_name: str, joined: bool = True) -> str:
    """The points in the order of the stages, joined by a line, each with its name and error bar.

    Args:
        points: At least one.
        x_name: With its unit.
        y_name: The score's name.
        joined: Whether they follow on one another, the first being what the others began with.
    """
    axes = Axes(points, x_name, y_name)
    path = " ".join(f"{axes.across(point.x):.1f},{axes.down(point.y):.1f}" for point in points)
    parts = [*axes.drawn(), f'<polyline class="path" points="{path}"/>' if joined else ""]
    taken: list[_Box] = []
    for index, point in enumerate(points):
        low, high = axes.down(point.y - point.error), axes.down(point.y + point.error)
        parts += _marker(point, axes.across(point.x), low, high, joined and index == 0, taken)
    return "".join([*parts, "</svg>"])


class Axes:
    """Where values lie in a picture, with a logarithmic axis across.

    Args:
        points: What has to fit; at least one.
        x_name: With its unit.
        y_name: The same.
        least: How much the axis upwards spans at least.
        counted: Across are counts from 1, on an even axis.
    """

    def __init__(
        self, points: Sequence[Point], x_name: str, y_name: str, least: float = 0.01, counted: bool = False
    ) -> None:
        self._place = float if counted else math.log10
        self._counted = counted
        self._low, self._high = _padded([self._place(point.x) for point in points], least=0.3)
        self._bottom, self._top = _padded([p.y + s * p.error for p in points for s in (-1, 1)], least=least)
        self._names = escape(x_name), escape(y_name)

    def across(self, x: float) -> float:
        """Pixels from the left, within the frame."""
        share = (self._place(x) - self._low) / (self._high - self._low)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def down(self, y: float) -> float:
        """Pixels from the top, within the frame."""
        share = (y - self._bottom) / (self._top - self._bottom)
        return HEIGHT - BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)

    def drawn(self) -> list[str]:
        """The opened picture, with grid, numbers and names."""
        x_name, y_name = self._names
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{y_name} against {x_name}" xmlns="http://www.w3.org/2000/svg">'
        ]
        counts = [tick for tick in linear_ticks(self._low, self._high) if tick >= 1 and tick == int(tick)]
        for tick in counts if self._counted else log_ticks(10**self._low, 10**self._high):
            x, below = self.across(tick), HEIGHT - BOTTOM
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{below}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{below + 16}" text-anchor="middle">{tick:g}</text>')
        for tick in linear_ticks(self._bottom, self._top):
            y = self.down(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{x_name}</text>')
        parts.append(
            f'<text class="axis" transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
            f'text-anchor="middle">{y_name}</text>'
        )
        return parts


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two positive numbers."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{exponent}") for exponent in exponents for step in TICK_STEPS]
    return [tick for tick in ticks if low <= tick <= high]


def linear_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two numbers, at most ``most`` of them."""
    exponent = math.floor(math.log10((high - low) / most))
    steps = [step * 10.0 ** (exponent + extra) for extra in (0, 1) for step in TICK_STEPS]
    step = next(s for s in steps if math.floor(high / s) - math.ceil(low / s) < most)
    return [round(place * step, 10) for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _padded(values: Sequence[float], least: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = max(0.08 * (high - low), (least - (high - low)) / 2, 1e-9)
    return low - pad, high + pad


@dataclass(frozen=True, slots=True)
class _Box:
    """Where a label's text lies, in pixels."""

    left: float
    right: float
    baseline: float

    def overlaps(self, other: "_Box") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and abs(self.baseline - other.baseline) < LINE_HEIGHT


def _marker(point: Point, x: float, lower: float, upper: float, is_first: bool, taken: list[_Box]) -> list[str]:
    y = (lower + upper) / 2
    anchor, baseline = _free_place(point.name, x, y, taken)
    shift = -LABEL_GAP if anchor == "end" else LABEL_GAP
    return [
        f'<line class="error" x1="{x:.1f}" y1="{lower:.1f}" x2="{x:.1f}" y2="{upper:.1f}"/>',
        f'<circle class="{"reference" if is_first else "stage"}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">'
        f"<title>{escape(point.name)}: {point.x:.4g}, {point.y:.4f}</title></circle>",
        f'<text class="label" x="{x + shift:.1f}" y="{baseline:.1f}" text-anchor="{anchor}">'
        f"{escape(point.name)}</text>",
    ]


def _free_place(name: str, x: float, y: float, taken: list[_Box]) -> tuple[str, float]:
    """The side of a marker and the baseline where its label covers no other; the place is then taken."""
    # The path runs down to the left, so the free corners are below to the right and above to the left.
    anchor, rise = ("end", -8.0) if x > WIDTH * 0.75 else ("start", 16.0)
    width = len(name) * LETTER_WIDTH
    left = x - LABEL_GAP - width if anchor == "end" else x + LABEL_GAP
    step = math.copysign(LINE_HEIGHT, rise)
    rows = [y + rise + place * step for place in range(MOST_ROWS)] + [
        y - rise - place * step for place in range(MOST_ROWS)
    ]
    boxes = [_Box(left, left + width, row) for row in rows if TOP < row < HEIGHT - BOTTOM]
    box = next(
        (box for box in boxes if not any(box.overlaps(other) for other in taken)), _Box(left, left + width, y + rise)
    )
    taken.append(box)
    return anchor, box.baseline
