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


def labels(drawn: str) -> dict[str, tuple[float, float, float]]:
    """Of each label its left and right end, at least, and its baseline."""
    found = re.findall(r'class="label" x="([-\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]+)<', drawn)
    wide = {name: (-6 * len(name), 0) if anchor == "end" else (0, 6 * len(name)) for *_, anchor, name in found}
    return {name: (float(x) + wide[name][0], float(x) + wide[name][1], float(y)) for x, y, _, name in found}


def apart(boxes: dict[str, tuple[float, float, float]]) -> bool:
    pairs = itertools.combinations(boxes.values(), 2)
    return all(one[1] <= two[0] or two[1] <= one[0] or abs(one[2] - two[2]) >= 12 for one, two in pairs)


def test_labels_of_equal_stages_cover_one_another_nowhere() -> None:
    names = ["00-reference", "01-distill", "02-prune", "03-quantize", "04-export"]
    drawn = scatter(
        [Point(name, 1.0 if index else 40.0, 0.9) for index, name in enumerate(names)], "size, MB", "accuracy"
    )
    assert list(labels(drawn)) == names and apart(labels(drawn))


def test_of_many_points_numbers_stand_apart_and_a_caption_says_whose() -> None:
    def drawn(named: str) -> str:
        return scatter(
            [Point(named.format(place), 2 + place / 50, 0.93) for place in range(12)], "size, MB", "accuracy"
        )

    assert list(labels(drawn("run<{}>"))) == [str(place) for place in range(12)]
    assert apart(labels(drawn("run<{}>")))
    assert "<figcaption>0 is run&lt;0&gt;, 1 is run&lt;1&gt;" in drawn("run<{}>")
    # A run's stages have their numbers in their names.
    assert "<figcaption>" not in drawn("{:02d}-prune")


def test_a_long_name_of_an_axis_is_cut_where_its_room_ends() -> None:
    drawn = scatter([Point("a", 1, 0.5)], "x", "score " * 20)
    assert f'aria-label="{"score " * 20} against x"' in drawn
    assert re.search(r">score score [^<]{10,40}…<", drawn)


def test_a_narrow_axis_has_ticks_all_the_same() -> None:
    assert log_ticks(0.21, 0.29) == [0.22, 0.24, 0.26, 0.28]
