"""``compress tune-kd`` as it is typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compressor.cli.main import main
from compressor.pipeline.tune import BETWEEN_MAPS, ON_CLASSES

SHORT = ["--set", "distill.train.batch_size=64", "--set", "distill.train.precision='fp32'"]


def tune(checkpoint: Path, out: Path, *more: str) -> Result:
    typed = ["tune-kd", "--profile", "mobile-cpu", str(checkpoint), "--out", str(out), "--device", "cpu", *SHORT]
    return CliRunner().invoke(main, [*typed, *more])


def test_it_says_what_won_or_that_nothing_did(digits_checkpoint: Path, tmp_path: Path) -> None:
    small = ["--samples", "200", "--epochs", "2", "--seeds", "2"]
    result = tune(digits_checkpoint, tmp_path / "run", *small, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert len(said["tried"]) == len(ON_CLASSES | BETWEEN_MAPS) + 1
    assert "beat" in said["advice"]
    assert bool(said["overrides"]) == ("beats labels alone" in said["advice"])
    again = tune(digits_checkpoint, tmp_path / "run", *small)
    assert again.exit_code == 0 and "labels alone" in again.stdout and said["advice"].split(";")[0] in again.stdout


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [(["--seeds", "1"], 3, "one seed"), (["--epochs", "1"], 2, "epochs"), (["--profile", "nope"], 2, "no profile")],
)
def test_what_cannot_work(more: list[str], code: int, words: str, digits_checkpoint: Path, tmp_path: Path) -> None:
    result = tune(digits_checkpoint, tmp_path / "run", *more)
    assert result.exit_code == code, result.output
    assert words in result.stderr and "Traceback" not in result.output
