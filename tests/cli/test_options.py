"""What the shared options mean."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from compressor.cli.options import JOB_OPTIONS, ControlCommand, add_options, check_writable, split_weight
from compressor.errors import InputError


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [("t.pt", "t.pt", 1.0), ("t.pt@2", "t.pt", 2.0), ("a@b/t.pt@0.5", "a@b/t.pt", 0.5)],
)
def test_teacher_with_weight(text: str, path: str, weight: float) -> None:
    assert split_weight(text) == (Path(path), weight)


def test_a_file_with_an_at_sign_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "t@2"
    file.touch()
    assert split_weight(str(file)) == (file, 1.0)
    assert split_weight(f"{file}@3") == (file, 3.0)


@pytest.mark.parametrize("weight", ["", "x", "0", "-1", "inf", "nan"])
def test_a_weight_is_a_number_above_zero(weight: str) -> None:
    with pytest.raises(InputError, match="wanted a number above 0"):
        split_weight(f"t.pt@{weight}")


def test_check_writable_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        check_writable(tmp_path / "file" / "run")
    with pytest.raises(InputError, match="can't write to"):
        check_writable(Path("/proc/run"))


@pytest.mark.parametrize(
    ("typed", "control"),
    [
        (["model.pt", "--control"], ("run",)),
        (["--control", "model.pt"], ("run",)),
        (["--control", "prune", "model.pt"], ("prune",)),
        (["--control", "prune", "--control", "quantize", "model.pt"], ("prune", "quantize")),
        (["--control", "--quick", "model.pt"], ("run",)),
        (["model.pt"], ()),
    ],
)
def test_control_may_stand_alone(typed: list[str], control: tuple[str, ...]) -> None:
    parsed: dict[str, Any] = {}

    @click.command(cls=ControlCommand)
    @click.argument("model")
    @add_options(JOB_OPTIONS)
    def command(**options: Any) -> None:
        parsed.update(options)

    result = CliRunner().invoke(command, ["--profile", "mobile-cpu", *typed])
    assert result.exit_code == 0, result.output
    assert (parsed["model"], parsed["control"]) == ("model.pt", control)
