"""Sentence embeddings as the user meets them: from a pretrained folder to a measured file; what the plan refuses."""

import json
from pathlib import Path

import encoders
import pytest
from click.testing import CliRunner, Result

from compressor.cli.main import main

NAME = "sentence-embedding"
COLUMNS = ["--data-arg", "text=one", "--data-arg", "pair=other", "--data-arg", "target=alike"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encoders.alike_folder(Path("data"))
    encoders.encoder_folder(Path("network"), task=NAME)


def compress(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def settings(*values: str) -> list[str]:
    return [word for one in values for word in ("--set", one)]


def test_a_folder_goes_through_all_stages() -> None:
    typed = ["--data", "data", *COLUMNS, "--device", "cpu"]
    short = settings("train.epochs=2", "train.batch_size=16")
    done = compress("train", "network", "--task", NAME, *typed, "--out", "teacher", *short)
    assert done.exit_code == 0, done.output
    assert "spearman" in done.output
    # The trained folder says itself what it is.
    epochs = [f"{stage}.train.epochs=1" for stage in ("distill", "prune", "quantize")]
    short = settings("distill.layers=2", "prune.ratio=0.5", "export.dynamic=false", "budget.score_drop=1", *epochs)
    more = ["--unlabeled", encoders.write_rows(Path("more.jsonl"), encoders.alike(40, 9))]
    done = compress("run", "--profile", "mobile-cpu", "teacher", *typed, *more, *short, "--out", "run")
    assert done.exit_code == 0, done.output
    report = json.loads(Path("run", "report.json").read_text())
    assert report["score"]["name"] == "spearman"
    kinds = {stage["kind"] for stage in report["stages"]}
    assert kinds == {"reference", "distill", "vocabulary", "prune", "quantize", "export"}
    assert all("pearson" in stage["scores"] and stage["score"] is not None for stage in report["stages"])
    assert report["stages"][-1]["size_bytes"] < 0.5 * report["stages"][0]["size_bytes"]
    last = Path("run", report["stages"][-1]["name"])
    card = (last / "README.md").read_text()
    assert 'pipeline_tag: "sentence-similarity"' in card and "`sentence_embedding`" in card
    done = compress("measure", last / "model.onnx", *typed, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["score"] == pytest.approx(report["stages"][-1]["score"])


def test_the_plan_says_what_to_type_next() -> None:
    plan = [
        "plan",
        "--profile",
        "mobile-cpu",
        "network",
        "--task",
        NAME,
        "--data",
        "data",
        *settings("distill.layers=1"),
    ]
    single = compress(*plan, "--data-arg", "text=one", "--data-arg", "target=alike")
    assert single.exit_code == 2
    assert "wants pairs of texts" in single.stderr and "pair=COLUMN" in single.stderr
    planned = compress(*plan, *COLUMNS)
    assert planned.exit_code == 0, planned.output
    refused = compress(*plan, *COLUMNS, *settings("distill.kd.response='decoupled_kd'"))
    assert refused.exit_code == 3 and "are vectors" in refused.stderr
    encoders.encoder_folder(Path("narrow"), task=NAME, hidden_size=16)
    taught = [*plan, *COLUMNS, "--teacher", "narrow"]
    planned = compress(*taught, "--json")
    assert planned.exit_code == 0, planned.output
    notes = {line["kind"]: line["notes"] for line in json.loads(planned.stdout)["lines"]}
    assert any("how alike texts are is compared" in note for note in notes["distill"])
    refused = compress(*taught, *settings("distill.kd.response='logit_mse'"))
    assert refused.exit_code == 3 and "the student's vectors have 32 numbers, the teacher's 16" in refused.stderr


def test_data_of_single_texts_is_not_measured_either() -> None:
    single = ["--data", "data", "--data-arg", "text=one", "--data-arg", "target=alike"]
    done = compress("measure", "network", "--task", NAME, *single)
    assert done.exit_code == 2 and "wants pairs of texts" in done.stderr
