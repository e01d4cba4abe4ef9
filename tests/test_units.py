"""Numbers with units."""

import pytest

from compressor.errors import InputError
from compressor.units import SHARES, SIZES, quantity


def test_units() -> None:
    assert quantity("--x", " 1.5 kB ", {"kB": 1e3}, "") == 1500
    assert quantity("--x", ".5", {"": 1.0}, "") == 0.5
    assert quantity("--x", "1.5MiB", SIZES, "") == pytest.approx(1.572864)
    assert quantity("--x", "5 %", SHARES, "") == pytest.approx(0.05)


@pytest.mark.parametrize("text", ["1e400", "", "-1", "nan", "1 2", "1,5", "9" * 50])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(InputError, match="--x"):
        quantity("--x", text, {"": 1.0}, "")


def test_the_nearest_unit() -> None:
    with pytest.raises(InputError, match="did you mean 'MiB'"):
        quantity("--x", "2MIb", SIZES, "")
