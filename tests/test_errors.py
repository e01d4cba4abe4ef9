"""Errors say what to do, and end with the code that the page and the tree promise."""

import re

import pytest

from compressor import errors
from compressor.errors import BudgetError, CompressError, DataError, ExitCode, StageError, did_you_mean


def subclasses(root: type[CompressError]) -> set[type[CompressError]]:
    return {root}.union(*(subclasses(kind) for kind in root.__subclasses__()))


def test_the_drawn_tree_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__)
    defined = {kind.__name__ for kind in subclasses(CompressError) if kind.__module__ == errors.__name__}
    assert sorted(drawn) == sorted(defined - {"CompressError"})


def test_drawn_exit_codes_are_the_classes() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"^    [├└]── (\w+) +(\d)", errors.__doc__, flags=re.MULTILINE)
    assert len(drawn) == 4
    for name, code in drawn:
        for kind in subclasses(getattr(errors, name)):
            assert kind.exit_code == int(code), kind


def test_codes_of_branches_differ() -> None:
    codes = [kind.exit_code for kind in CompressError.__subclasses__()]
    assert len(codes) == len(set(codes))
    assert not {ExitCode.DONE, ExitCode.BUG} & set(codes)


def test_text_ends_with_what_to_type() -> None:
    assert str(DataError("no images in 'a'", "--data b")) == "no images in 'a'\n  try: --data b"
    assert str(StageError("stopped")) == "stopped"


def test_budget_error_holds_the_reachable_value() -> None:
    assert BudgetError("too small", smallest=1.5, hint="size_mb = 1.5").smallest == 1.5


@pytest.mark.parametrize(
    ("word", "guess"), [("prun", "; did you mean 'prune'?"), ("Prune", "; did you mean 'prune'?"), ("zzz", "")]
)
def test_did_you_mean(word: str, guess: str) -> None:
    assert did_you_mean(word, ["prune", "quantize"]) == guess
