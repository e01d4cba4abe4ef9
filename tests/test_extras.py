"""Optional packages: there, absent, or broken inside."""

import tomllib
from pathlib import Path

import pytest

from compressor.errors import MissingError
from compressor.extras import EXTRAS, require


def test_gives_the_module() -> None:
    import json.decoder

    assert require("json.decoder") is json.decoder


def test_absent_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "no_such_package", "vision")
    with pytest.raises(MissingError, match="'no_such_package' is not installed") as caught:
        require("no_such_package.models")
    assert caught.value.hint == "pip install 'compressor[vision]'"
    assert caught.value.exit_code == 4


def test_absent_package_without_an_extra() -> None:
    with pytest.raises(MissingError) as caught:
        require("no_such_package")
    assert caught.value.hint == "pip install no_such_package"


def test_what_a_present_package_lacks_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_there.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        require("half_there")


def test_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for package, extra in EXTRAS.items():
        assert any(line.startswith(package) for line in project["optional-dependencies"][extra]), package
