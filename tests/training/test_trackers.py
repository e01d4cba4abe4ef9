"""Which trackers there are, and what is said of one that isn't."""

import sys

import pytest

from compressor.errors import InputError, MissingError
from compressor.extras import EXTRAS
from compressor.training.trackers import TRACKERS, check_names


def test_names() -> None:
    assert check_names(("none",)) == () == check_names(())
    assert check_names(("tensorboard", "tensorboard")) == ("tensorboard",)
    with pytest.raises(InputError, match="did you mean 'mlflow'"):
        check_names(("mlfow",))
    with pytest.raises(InputError, match="alone"):
        check_names(("none", "tensorboard"))


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, tracker in TRACKERS.items():
        monkeypatch.setitem(sys.modules, tracker.module, None)
        with pytest.raises(MissingError) as caught:
            check_names((name,))
        assert caught.value.hint == f"pip install 'compressor[{EXTRAS[tracker.module]}]'"
