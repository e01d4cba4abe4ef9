"""Which of several things no other beats in everything at once."""

from collections.abc import Sequence


def unbeaten(figures: Sequence[tuple[float, ...]]) -> list[bool]:
    """Whether none of the others is as small in every figure and smaller in one; of two alike both stay.

    Args:
        figures: Of each thing what is to be small, equally many.
    """
    return [
        not any(all(a <= b for a, b in zip(other, own, strict=True)) and other != own for other in figures)
        for own in figures
    ]
