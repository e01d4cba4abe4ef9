"""Text networks as the user meets them: folders and tables that fit, and one sentence for each that doesn't."""

import json
import shutil
from pathlib import Path
from typing import Any

import encoders
import pytest
import torch
from click.testing import CliRunner, Result

from compressor.cli.main import main

# One token, as many as the network takes, more, none, and writing that the vocabulary has never seen.
EDGES = ["film", "film " * 62, "film " * 1000, "", " ", "漢字 ☃ \U0001f600", "\u202e\x00\ufeff", "Ünïcödé a film"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders.encoder_folder(tmp_path_factory.mktemp("models") / "bert", num_hidden_layers=1)


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    """A copy to be spoiled."""
    return Path(shutil.copytree(bert, tmp_path / "bert"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return encoders.sentence_folder(tmp_path / "data", 64, 16)


def compress(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run(*arguments: str | Path) -> Result:
    return compress("run", "--profile", "mobile-cpu", *arguments)


def refused(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert result.stderr.count("error: ") == 1
    said = " ".join(result.stderr.split())
    for part in parts:
        assert part in said


def test_texts_of_every_length_and_script_are_measured(bert: Path, here: Path) -> None:
    encoders.write_rows(here / "data" / "train.jsonl", encoders.sentences(64, 1))
    rows = [{"text": text, "label": ("bad", "good")[place % 2]} for place, text in enumerate(EDGES)]
    encoders.write_rows(here / "data" / "test.jsonl", rows)
    done = compress("measure", bert, "--data", "data", "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["latency_ms"]["p50"] > 0
    assert 0 <= record["score"] <= 1


def test_plan_knows_the_stages_for_texts(bert: Path, data: Path) -> None:
    sets = ["--set", "distill.layers=1", "--set", "quantize.train.epochs=1"]
    planned = compress("plan", "--profile", "mobile-cpu", bert, "--data", data, "--json", *sets)
    assert planned.exit_code == 0, planned.output
    notes = {line["kind"]: " ".join(line["notes"]) for line in json.loads(planned.stdout)["lines"]}
    assert set(notes) == {"distill", "vocabulary", "prune", "quantize", "export"}
    assert "tokens stay" in notes["vocabulary"] and "layers can lose" in notes["prune"]
    many = compress("plan", "--profile", "mobile-cpu", bert, "--data", data, "--set", "distill.layers=9")
    refused(many, 3, "the network has 1 layers")


def test_a_pretrained_folder_is_sent_to_training(folder: Path, bert: Path, data: Path) -> None:
    import transformers

    transformers.BertModel.from_pretrained(folder).save_pretrained(folder)
    refused(run(folder, "--data", data), 2, "no weights for classifier", "compress train", "was never trained")
    refused(run(bert, "--data", data, "--teacher", folder), 2, "no weights for classifier", "compress train")
    assert not Path("runs").exists() or not list(Path("runs").rglob("report.json"))


def configure(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_folders_that_would_run_code_do_not(folder: Path, data: Path, here: Path) -> None:
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(here / 'ran')!r}).touch()\n")
    configure(folder, model_type="evil", auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    for trust in ([], ["--trust"]):
        refused(run(folder, "--data", data, *trust), 2, "no network of type 'evil'", "is never run")
    configure(folder, model_type="bert")
    torch.save({"w": torch.zeros(1)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    refused(run(folder, "--data", data), 2, "is a pickle", "--trust")
    assert not (here / "ran").exists()


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda folder: configure(folder, model_type="brt"), "did you mean 'bert'"),
        (lambda folder: configure(folder, hidden_size=64), "by config.json it is"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"cut"), "is damaged"),
    ],
    ids=["tokenizer", "config", "type", "shape", "weights"],
)
def test_folders_that_are_not_whole(folder: Path, data: Path, spoil: Any, part: str) -> None:
    spoil(folder)
    refused(run(folder, "--data", data), 2, part, "try: ")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["text=sentense"], ["no column 'sentense'", "it has: text, label"]),
        (["pair=question"], ["no column 'question'", "--data-arg pair=COLUMN"]),
        (["lable=label"], ["did you mean 'label'"]),
        (["label=labels"], ["did you mean 'label'"]),
        (["size=3"], ["takes no --data-arg 'size'"]),
    ],
)
def test_columns_that_are_not_there(bert: Path, data: Path, options: list[str], parts: list[str]) -> None:
    refused(run(bert, "--data", data, *(word for one in options for word in ("--data-arg", one))), 2, *parts)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ('{"text": "cut off', ["train.jsonl, line 65 is not JSON"]),
        ('"a film"', ["train.jsonl, line 65 is a str, not an object"]),
        ('{"text": "a film"}', ["train.jsonl, row 65: no label"]),
        ('{"text": 3, "label": "good"}', ["train.jsonl, row 65: text is 3, wanted text"]),
    ],
)
def test_lines_that_are_broken(bert: Path, data: Path, line: str, parts: list[str]) -> None:
    with (data / "train.jsonl").open("a") as file:
        file.write(line + "\n")
    refused(run(bert, "--data", data), 2, *parts)


def test_labels_that_the_network_or_training_does_not_know(bert: Path, data: Path) -> None:
    with (data / "test.jsonl").open("a") as file:
        file.write('{"text": "a film", "label": "undecided"}\n')
    refused(run(bert, "--data", data), 2, "test.jsonl, row 17: label 'undecided'", "bad, good")
    rows = [{"text": "a film", "label": f"kind {place % 3}"} for place in range(60)]
    encoders.write_rows(data / "train.jsonl", rows)
    (data / "test.jsonl").unlink()
    more = ["has 2 classes (bad, good)", "has 3 (kind 0, kind 1, kind 2)", "compress train"]
    refused(run(bert, "--data", data), 2, *more)
    refused(compress("plan", "--profile", "mobile-cpu", bert, "--data", data), 2, *more)
    refused(compress("measure", bert, "--data", data), 2, *more)


def test_a_teacher_s_head_is_for_the_data_too(bert: Path, data: Path, tmp_path: Path) -> None:
    other = encoders.encoder_folder(tmp_path / "other", labels=("dull", "fair", "good"), num_hidden_layers=1)
    refused(
        run(bert, "--data", data, "--teacher", other), 2, "other has 3 classes (dull, fair, good)", "has 2 (bad, good)"
    )
    teacher = encoders.encoder_folder(tmp_path / "three", labels=("bad", "fair", "good"), num_hidden_layers=1)
    # Of the three the data has the first and the last.
    refused(run(teacher, "--data", data), 2, "train has none of fair", "compress train")


def test_images_and_texts_do_not_meet(bert: Path, data: Path) -> None:
    refused(run(bert, "--data", "digits"), 2, "digits")
    refused(run(bert, "--data", data, "--unlabeled", "nowhere.jsonl"), 2, "no file nowhere.jsonl")
    refused(run(bert, "--data", data, "--task", "image-classification"), 2, "--task with one of")


def test_a_student_that_was_only_pretrained_gets_a_head(bert: Path, data: Path, tmp_path: Path) -> None:
    import transformers

    small = encoders.encoder_folder(tmp_path / "small", num_hidden_layers=1, intermediate_size=16)
    transformers.BertModel.from_pretrained(small, add_pooling_layer=False).save_pretrained(small)
    planned = compress("plan", "--profile", "mobile-cpu", bert, "--data", data, "--student", small, "--json")
    assert planned.exit_code == 0, planned.output
    notes = {line["kind"]: " ".join(line["notes"]) for line in json.loads(planned.stdout)["lines"]}
    assert "the network given with --student" in notes["distill"]


def test_a_student_by_word_drops_the_profiles_layers(bert: Path, data: Path) -> None:
    sets = ["--set", "distill.layers=1", "--student", "same"]
    planned = compress("plan", "--profile", "mobile-cpu", bert, "--data", data, "--json", *sets)
    assert planned.exit_code == 0, planned.output
    notes = {line["kind"]: " ".join(line["notes"]) for line in json.loads(planned.stdout)["lines"]}
    assert "student: the same architecture" in notes["distill"]
