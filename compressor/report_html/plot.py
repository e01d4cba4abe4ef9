"""A scatter plot as inline SVG: score against what it costs, on a logarithmic axis."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 20, 44
TICK_STEPS = (1, 2, 5)
# Of a label: pixels from its marker, about one letter's and one line's; rows tried on each side of the marker.
LABEL_GAP, LETTER_WIDTH, LINE_HEIGHT, MOST_ROWS = 8, 6.6, 13, 6
RADIUS = 4.5
# Of so many points names would cover one another: numbers stand in their place.
MOST_NAMED = 7
# Ticks that an axis has at least: where 1, 2 and 5 give fewer, any round number will do.
FEWEST_TICKS = 3
# What a label may cover if it must, the worst first; the path by how much of it lies beneath, in dots to a segment.
LABEL, MARKER, BAR, DOT = 100.0, 10.0, 1.0, 0.3
DOTS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """One stage: what it costs (above 0), its score and the score's standard error."""

    name: str
    x: float
    y: float
    error: float = 0.0


def scatter(points: Sequence[Point], x_name: str, y_name: str, joined: bool = True) -> str:
    """The points in the order of the stages, joined by a line, each with its error bar and name.

    Many have numbers for names, and a caption that says whose where the names don't.

    Args:
        points: At least one.
        x_name: With its unit.
        y_name: The score's name.
        joined: Whether they follow on one another, the first being what the others began with.
    """
    axes = Axes(points, x_name, y_name)
    placed = [
        (point, axes.across(point.x), axes.down(point.y - point.error), axes.down(point.y + point.error))
        for point in points
    ]
    path = " ".join(f"{x:.1f},{axes.down(point.y):.1f}" for point, x, _, _ in placed)
    parts = [*axes.drawn(), f'<polyline class="path" points="{path}"/>' if joined else ""]
    taken = [_Box(x - 1, x + 1, upper, lower, BAR) for _, x, lower, upper in placed]
    for point, x, _, _ in placed:
        y = axes.down(point.y)
        taken.append(_Box(x - RADIUS, x + RADIUS, y - RADIUS, y + RADIUS, MARKER))
    taken += _path_boxes([(x, axes.down(point.y)) for point, x, _, _ in placed]) if joined else []
    labels = _labels([point.name for point in points])
    for index, (point, x, lower, upper) in enumerate(placed):
        y, is_first = axes.down(point.y), joined and index == 0
        parts += [
            f'<line class="error" x1="{x:.1f}" y1="{lower:.1f}" x2="{x:.1f}" y2="{upper:.1f}"/>',
            f'<circle class="{"reference" if is_first else "stage"}" cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}">'
            f"<title>{escape(point.name)}: {point.x:.4g}, {point.y:.4f}</title></circle>",
            _label(labels[index], x, y, taken),
        ]
    return "".join([*parts, "</svg>", _caption(labels, points)])


def _labels(names: Sequence[str]) -> list[str]:
    return list(names) if len(names) <= MOST_NAMED else [str(place) for place in range(len(names))]


def _caption(labels: Sequence[str], points: Sequence[Point]) -> str:
    """Whose the numbers are; empty where names stand beside the points, or begin with their numbers themselves."""
    named = [(label, point.name) for label, point in zip(labels, points, strict=True)]
    if all(name == label or name.startswith(f"{label:>02}-") for label, name in named):
        return ""
    told = ", ".join(f"{label} is {name}" for label, name in named)
    return f"<figcaption>{escape(told)}</figcaption>"


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
        self._names = x_name, y_name

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
            f'aria-label="{escape(y_name)} against {escape(x_name)}" xmlns="http://www.w3.org/2000/svg">'
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
        across, up = _fitted(x_name, WIDTH - LEFT - RIGHT), _fitted(y_name, HEIGHT - TOP)
        parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{across}</text>')
        parts.append(
            f'<text class="axis" transform="translate(12 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
            f'text-anchor="middle">{up}</text>'
        )
        return parts


def _fitted(name: str, room: float) -> str:
    """An axis's name as far as there is room for it."""
    most = int(room / LETTER_WIDTH)
    return escape(name if len(name) <= most else f"{name[: most - 1]}…")


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two positive numbers; where those are too few, evenly spaced ones."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{exponent}") for exponent in exponents for step in TICK_STEPS]
    found = [tick for tick in ticks if low <= tick <= high]
    return found if len(found) >= FEWEST_TICKS else linear_ticks(low, high)


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
    """What lies in a picture, in pixels, and how bad it is to cover it."""

    left: float
    right: float
    top: float
    bottom: float
    cost: float

    def overlaps(self, other: "_Box") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def _path_boxes(corners: Sequence[tuple[float, float]]) -> list[_Box]:
    dots = [
        (x + part / DOTS * (to_x - x), y + part / DOTS * (to_y - y))
        for (x, y), (to_x, to_y) in itertools.pairwise(corners)
        for part in range(DOTS)
    ]
    return [_Box(x - 1, x + 1, y - 1, y + 1, DOT) for x, y in dots]


def _label(name: str, x: float, y: float, taken: list[_Box]) -> str:
    """A marker's label where it covers least, near the marker before far; its place is then taken."""
    width = len(name) * LETTER_WIDTH
    places = []
    # The path runs down to the left, so the free corners are below to the right and above to the left.
    for side, rise in ((1, 16.0), (-1, -8.0), (1, -8.0), (-1, 16.0)):
        left = x + LABEL_GAP if side > 0 else x - LABEL_GAP - width
        step = math.copysign(LINE_HEIGHT, rise)
        rows = [y + rise + place * step for place in range(MOST_ROWS)]
        places += [(side, row, _Box(left, left + width, row - LINE_HEIGHT + 3, row + 3, LABEL)) for row in rows]

    def cost(place: tuple[int, float, _Box]) -> float:
        _, row, box = place
        beside = box.left < LEFT or box.right > WIDTH or box.top < 0 or box.bottom > HEIGHT - BOTTOM
        covered = sum(other.cost for other in taken if box.overlaps(other))
        return covered + LABEL * beside + abs(row - y) / HEIGHT

    side, row, box = min(places, key=cost)
    taken.append(box)
    anchor = "start" if side > 0 else "end"
    return (
        f'<text class="label" x="{x + side * LABEL_GAP:.1f}" y="{row:.1f}" text-anchor="{anchor}">{escape(name)}</text>'
    )
