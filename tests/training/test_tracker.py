"""What trackers are told, and what is told of them."""

from compressor.passwords import masked
from compressor.training.tracker import key_of, told


def test_names_are_what_every_tracker_takes() -> None:
    assert key_of("seed-0/01-prune", "gradient of labels") == "seed-0/01-prune/gradient of labels"
    assert key_of("01-prune", "r² (%)") == "01-prune/r² ___"
    assert key_of("search/p01 (a)", "*") == "search/p01 _a_/*"


def test_what_is_told_of_an_error_is_short_and_holds_no_password() -> None:
    assert told(ValueError()) == "ValueError"
    error = ValueError("http://me:secret@there\nand much more")
    assert told(error) == masked("http://me:secret@there")
