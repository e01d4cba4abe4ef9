"""``compress train``: a factory or a checkpoint in, a checkpoint out."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compressor.cli.main import main
from compressor.cli.train import train_settings
from compressor.errors import ProfileError

NETWORK = ["compressor.factories.small_images:resnet", "--factory-arg", "width=16", "--factory-arg", "layers=[1, 1]"]


def train(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def test_from_a_factory_and_on_from_its_checkpoint(tmp_path: Path) -> None:
    from compressor.loading import load_file

    first = train(*NETWORK, "--data", "digits", "--out", tmp_path / "one", "--set", "train.epochs=1")
    assert first.exit_code == 0, first.output
    assert "accuracy" in first.stdout
    saved = load_file(tmp_path / "one" / "model.pt")
    assert saved.info.data == "digits" and len(saved.info.classes) == 10
    second = train(tmp_path / "one" / "model.pt", "--out", tmp_path / "two.pt", "--set", "epochs=1")
    assert second.exit_code == 0, second.output
    assert (tmp_path / "two.pt").exists()
    assert not list(tmp_path.rglob("*.ckpt"))


def test_settings_list_every_fault() -> None:
    assert train_settings(("train.epochs=3", "lr=0.1")).epochs == 3
    with pytest.raises(ProfileError) as caught:
        train_settings(("train.epoch=3", "train.lr=-1", "optimizer=adam"))
    for part in ("did you mean 'epochs'", "lr: got -1", "did you mean 'adamw'"):
        assert part in caught.value.message


def test_wrong_input(tmp_path: Path) -> None:
    assert train("no-such.pt", "--data", "digits", "--out", tmp_path / "x").exit_code == 2
    unknown = train("compressor.factories.small_images:resnt", "--data", "digits", "--out", tmp_path / "x")
    assert unknown.exit_code == 2 and "resnt" in unknown.stderr
    assert train(*NETWORK, "--data", "digits").exit_code == 2
    assert list(tmp_path.iterdir()) == []
