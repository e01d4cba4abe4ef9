"""The front of a few points by hand."""

from compressor.pareto import unbeaten


def test_by_hand() -> None:
    points = [(1.0, 5.0), (2.0, 4.0), (2.0, 5.0), (3.0, 1.0), (3.0, 1.0), (4.0, 0.5)]
    assert unbeaten(points) == [True, True, False, True, True, True]
    assert unbeaten([]) == []
