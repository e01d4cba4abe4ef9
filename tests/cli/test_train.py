"""``compress train``: a factory or a checkpoint in, a checkpoint out."""

from pathlib import Path

import encoders
import pytest
import small_texts
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


def pretrained(folder: Path) -> Path:
    """An encoder without a head."""
    import transformers

    encoders.encoder_folder(folder)
    transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(folder)
    return folder


def test_a_pretrained_folder_is_fine_tuned_to_a_folder(tmp_path: Path) -> None:
    import transformers

    from compressor.loading import load_file

    folder, data = pretrained(tmp_path / "bert"), encoders.sentence_folder(tmp_path / "data", 256, 32)
    settings = [word for one in ("epochs=6", "lr=5e-3", "batch_size=16") for word in ("--set", one)]
    done = train(folder, "--data", data, "--out", tmp_path / "tuned", *settings)
    assert done.exit_code == 0, done.output
    assert f"next: compress run --profile mobile-cpu --data {data} {tmp_path / 'tuned'}" in done.stdout
    assert float(done.stdout.split("accuracy ")[1].split()[0]) > 0.9
    tuned = load_file(tmp_path / "tuned")
    assert tuned.info.classes == ("bad", "good") and tuned.info.untrained == ()
    theirs = transformers.pipeline("text-classification", str(tmp_path / "tuned"))
    assert theirs("a wonderful , brilliant film")[0]["label"] == "good"
    assert not list(tmp_path.glob("*.training"))
    # On from there, its head as it is; and as a checkpoint, which names its data.
    again = train(tmp_path / "tuned", "--data", data, "--out", tmp_path / "again.pt", "--set", "train.epochs=1")
    assert again.exit_code == 0, again.output
    assert load_file(tmp_path / "again.pt").info.data == str(data)


def test_a_new_head_is_drawn_under_the_seed(tmp_path: Path) -> None:
    folder, data = pretrained(tmp_path / "bert"), encoders.sentence_folder(tmp_path / "data", 32, 8)
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        # In a precision that no clock decides.
        settings = ("--set", "epochs=1", "--set", "precision=fp32")
        options = ("--data", data, "--out", tmp_path / name, *settings, "--seed", seed)
        assert train(folder, *map(str, options)).exit_code == 0
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(
    ("labels", "note", "kept"),
    [
        (("bad", "good"), "", True),
        (("good", "bad"), "", True),
        (("LABEL_0", "LABEL_1"), "they are called bad, good now", True),
        (("x", "y", "z"), "has 3 classes (x, y, z), the data 2 classes (bad, good): a new head was made", False),
        (("bad", "fair", "good"), "has 3 classes (bad, fair, good), the data 2 classes", False),
        (("good", "bad", "fair"), "has 3 classes (good, bad, fair), the data 2 classes", False),
        (("cat", "dog"), "a new head was made", False),
    ],
)
def test_a_head_for_other_classes(tmp_path: Path, labels: tuple[str, ...], note: str, kept: bool) -> None:
    from safetensors.torch import load_file as read

    from compressor.loading import load_file

    folder = encoders.encoder_folder(tmp_path / "bert", labels=labels, num_hidden_layers=1)
    data = encoders.sentence_folder(tmp_path / "data", 64, 16)
    # So slowly that what was there is still there.
    settings = [word for one in ("epochs=1", "lr=1e-7", "precision=fp32") for word in ("--set", one)]
    done = train(folder, "--data", data, "--out", tmp_path / "tuned", "--seed", "5", *settings)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("note: the head") if note else "note:" not in done.stdout
    assert note in " ".join(done.stdout.split())
    before, after = (read(one / "model.safetensors") for one in (folder, tmp_path / "tuned"))
    close = {
        name: before[name].shape == after[name].shape and before[name].allclose(after[name], atol=1e-4)
        for name in before
    }
    assert close.pop("classifier.weight") == kept
    close.pop("classifier.bias")
    assert all(close.values())
    classes = load_file(tmp_path / "tuned").info.classes
    assert classes == (labels if kept and labels != ("LABEL_0", "LABEL_1") else ("bad", "good"))


def test_tags_that_do_not_occur_stay_in_the_head(tmp_path: Path) -> None:
    from compressor.loading import load_file

    folder = encoders.encoder_folder(tmp_path / "bert", task="token-classification", num_hidden_layers=1)
    rows = [{"words": ["a", "dull", "film"], "tags": ["O", "B-BAD", "O"]}] * 30
    data = encoders.write_rows(tmp_path / "train.jsonl", rows)
    columns = ["--data-arg", "tokens=words", "--data-arg", "tags=tags", "--set", "epochs=1"]
    done = train(folder, "--data", data, *columns, "--out", tmp_path / "same")
    assert done.exit_code == 0 and "note:" not in done.stdout, done.output
    assert load_file(tmp_path / "same").info.classes == encoders.TAGS
    encoders.write_rows(data, [{**rows[0], "tags": ["O", "B-DULL", "O"]}] * 30)
    done = train(folder, "--data", data, *columns, "--out", tmp_path / "other")
    assert done.exit_code == 0 and "has 5 classes (B-BAD, B-GOOD, I-BAD, I-GOOD, O), the data 2" in done.stdout
    assert load_file(tmp_path / "other").info.classes == ("B-DULL", "O")


def test_text_settings_are_gentler() -> None:
    info = small_texts.encoder().info
    assert train_settings((), info).lr < train_settings(()).lr
    assert train_settings(("lr=0.1",), info).lr == 0.1
