"""The plot's ticks and coordinates."""

import itertools
import re

from compressor.report_html.plot import Point, linear_ticks, log_ticks, scatter


def test_log_ticks_are_one_two_five() -> None:
    assert log_ticks(0.4, 30) == [0.5, 1, 2, 5, 10, 20]


def test_linear_ticks_are_round_and_few() -> None:
    assert linear_ticks(0.9277, 0.9385) == [0.928, 0.93, 0.932, 0.934, 0.936, 0.938]
    assert linear_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_smaller_is_left_and_better_is_up() -> None:
    drawn = scatter([Point("big", 40, 0.95), Point("small", 0.4, 0.9)], "size, MB", "accuracy")
    (x_big, y_big), (x_small, y_small) = [
        (float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn)
    ]
    assert x_small < x_big and y_small > y_big


def test_one_point_and_odd_names_draw() -> None:
    drawn = scatter([Point("<a&b>", 1, 0.5)], "x", "y")
    assert "&lt;a&amp;b&gt;" in drawn and "nan" not in drawn


def test_labels_of_equal_stages_stand_one_above_the_other() -> None:
    names = ["00-reference", "01-distill", "02-prune", "03-quantize", "04-export"]
    drawn = scatter(
        [Point(name, 1.0 if index else 40.0, 0.9) for index, name in enumerate(names)], "size, MB", "accuracy"
    )
    labels = {name: float(y) for y, name in re.findall(r'class="label" x="[\d.]+" y="([\d.]+)"[^>]*>([^<]+)<', drawn)}
    rows = sorted(labels[name] for name in names[1:])
    assert all(below - above >= 12 for above, below in itertools.pairwise(rows))
