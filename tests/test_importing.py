import math
from pathlib import Path

import pytest

from compressor.errors import InputError, MissingError
from compressor.importing import import_object, is_reference


@pytest.mark.parametrize("text", ["a:b", "a.b:c", "a.b:C.d", "_a1:b2"])
def test_references(text: str) -> None:
    assert is_reference(text)


@pytest.mark.parametrize("text", ["", "a", "a:", ":b", "a/b:c", "a:b:c", "1a:b", "a..b:c", "a:b()"])
def test_no_references(text: str) -> None:
    assert not is_reference(text)
    with pytest.raises(InputError, match="is not a reference"):
        import_object(text)


def test_objects_and_their_attributes() -> None:
    assert import_object("math:sqrt") is math.sqrt
    assert import_object("pathlib:Path.cwd") == Path.cwd


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="'math' has no 'sqr'; did you mean 'sqrt'"):
        import_object("math:sqr")
    with pytest.raises(InputError, match=r"'no_such_thing' .* doesn't import: ModuleNotFoundError"):
        import_object("no_such_thing:x")


def test_a_module_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_on_import.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="ZeroDivisionError"):
        import_object("fails_on_import:x")


def test_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(MissingError) as caught:
        import_object("optuna:x")
    assert caught.value.hint == "pip install 'compressor[tune]'"
