"""Numbers as they are shown, and what they are sorted by."""

import pytest

from compressor.figures import (
    EMPTY,
    MISSING,
    NOTHING,
    Figure,
    between,
    count,
    number,
    points,
    times,
    whole,
    with_error,
)


@pytest.mark.parametrize(
    ("figure", "text", "value"),
    [
        (count(11_172_810), "11.2 M", 11_172_810),
        (count(1_820_000_000), "1.82 G", 1_820_000_000),
        (count(999), "999", 999),
        (number(0.12345), "0.123", 0.12345),
        (number(2789.4), "2,789", 2789.4),
        (whole(1_234_567), "1,234,567", 1_234_567),
        (times(44.8, 0.45), "99.6x", 44.8 / 0.45),
        (with_error(0.935, 0.0025), "0.9350 ± 0.0025", 0.935),
        (with_error(0.935, None, sign="+"), "+0.9350", 0.935),
        (points(0.0045, 0.001), "-0.45 ± 0.10", -0.45),
        (points(0.0, 0.0), "+0.00 ± 0.00", 0.0),
        (between(4.61, 4.9), "4.61 to 4.9", 4.61),
    ],
)
def test_a_figure_is_its_text_and_its_number(figure: Figure, text: str, value: float) -> None:
    assert figure == text and isinstance(figure, str)
    assert figure.value == pytest.approx(value)


def test_what_is_missing_is_one_dash_everywhere() -> None:
    missing = [count(None), number(None), whole(None), times(None, 1.0), times(1.0, 0.0), with_error(None, 0.1)]
    assert {*missing, points(None, None), MISSING} == {NOTHING}
    assert all(figure.value is None for figure in missing)
    assert between(None, 1.0) == EMPTY == ""
