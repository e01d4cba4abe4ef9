"""What is refused before anything of it is allocated."""

from pathlib import Path

import pytest

from compressor.data.bounds import check_size, check_unpacked, parsed_as
from compressor.errors import DataError


def test_a_size_is_what_memory_holds() -> None:
    assert check_size((3, 4), 2, "it", "less") == 24
    with pytest.raises(DataError, match=r"it would take 1\.48e\+11 GB"):
        check_size((2**63, 4), 4, "it", "less")
    with pytest.raises(DataError, match="negative side"):
        check_size((-3, -4), 2, "it", "less")


def test_what_unpacks_to_hundreds_of_times_as_much_is_a_bomb() -> None:
    check_unpacked(90_000_000, 1, "small", "less")
    check_unpacked(150_000_000, 2_000_000, "honest", "less")
    with pytest.raises(DataError, match=r"bomb would unpack from 0.1 MB to 150, 1500 times as much"):
        check_unpacked(150_000_000, 100_000, "bomb", "less")


@pytest.mark.parametrize(
    "error", [ValueError("odd\nmore"), RecursionError(), MemoryError(), NotImplementedError("odd")]
)
def test_whatever_a_parser_raises_names_the_file(error: Exception) -> None:
    with (
        pytest.raises(DataError, match=r"f\.x can't be read as a table: (odd|\w+Error)$") as caught,
        parsed_as("a table", Path("f.x"), ""),
    ):
        raise error
    assert "\n" not in caught.value.message
