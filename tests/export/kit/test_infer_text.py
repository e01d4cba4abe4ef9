"""The script beside a text network's file, run with onnxruntime, numpy and tokenizers alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_texts
import torch

from compressor.data.texts import TextSplit
from compressor.export.artifacts import write_infer_script
from compressor.export.dynamic import write_dynamic
from compressor.export.huggingface import write_configuration
from compressor.export.onnx import export_onnx
from compressor.models import OnnxModel, QuantizedModel, TorchModel

# Starts a script in a process where everything but the standard library and the named packages is absent.
ALONE = """
import runpy, sys
allowed = set(sys.argv[1].split(","))
class Absent:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in allowed and root not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {root!r}", name=root)
sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# One token, the network's limit, past it, none, a script that the vocabulary doesn't know.
EDGES = ["film", "film " * 62, "film " * 500, "", "漢字 ☃ \U0001f600", "Ünïcödé a wonderful film"]


@pytest.fixture
def folder(int8_encoder_onnx: OnnxModel, tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(int8_encoder_onnx.path.read_bytes())
    write_configuration(int8_encoder_onnx.info, tmp_path)
    write_infer_script(OnnxModel(tmp_path / "model.onnx", int8_encoder_onnx.info))
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE, "onnxruntime,numpy,tokenizers", str(folder / "infer.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder.parent, check=False)


def expected(model: QuantizedModel, texts: list[str], pairs: list[str] | None = None) -> np.ndarray:
    """Each text alone, as the script asks."""
    assert model.info.tokenizer is not None
    split = TextSplit(tuple(texts), torch.zeros(len(texts)), None if pairs is None else tuple(pairs))
    split = split.with_tokenizer(model.info.tokenizer)
    with torch.no_grad():
        rows = [model.module(*split.fetch(torch.tensor([row]))).softmax(1)[0] for row in range(len(texts))]
    return torch.stack(rows).numpy()


def test_answers_of_every_length_and_script(folder: Path, int8_encoder: QuantizedModel) -> None:
    done = run(folder, *EDGES, "--json", "--top", "2")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["text"] for answer in answers] == list(range(6))
    wanted = expected(int8_encoder, EDGES)
    for answer, row in zip(answers, wanted, strict=True):
        assert {found["class"] for found in answer["classes"]} == {"bad", "good"}
        found = {entry["label"]: entry["probability"] for entry in answer["classes"]}
        np.testing.assert_allclose([found[0], found[1]], row, atol=0.02)
    assert answers[1]["classes"] == answers[2]["classes"], "longer text is cut at the limit"


def test_files_pairs_and_words_for_people(folder: Path, int8_encoder: QuantizedModel) -> None:
    (folder / "texts.txt").write_text("a wonderful film\nwhat a dull story\n", encoding="utf-8")
    done = run(folder, "--file", str(folder / "texts.txt"))
    rows = expected(int8_encoder, ["a wonderful film", "what a dull story"])
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        [f"{place}:", ("bad", "good")[row.argmax()]] for place, row in enumerate(rows)
    ]
    paired = json.loads(run(folder, "--pair", "what a film", "a dull story", "--json").stdout)
    (row,) = expected(int8_encoder, ["what a film"], ["a dull story"])
    assert paired["classes"][0]["probability"] == pytest.approx(float(row.max()), abs=0.02)


def test_what_it_cannot_do_is_said(folder: Path) -> None:
    cases = [
        ([], "no text"),
        (["--pair", "one"], "two by two, got 1"),
        (["a", "--model", "none.onnx"], "no model at none.onnx"),
        (["--file", "none.txt"], "none.txt"),
        (["a", "--batch-size", "0"], "--batch-size 0, wanted at least 1"),
    ]
    for arguments, said in cases:
        done = run(folder, *arguments)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer at" in run(folder, "a").stderr


def test_vectors_and_how_alike_texts_are(tmp_path: Path) -> None:
    model = small_texts.encoder(task="sentence-embedding")
    assert model.info.tokenizer is not None
    exported = export_onnx(model, tmp_path / "kit" / "model.onnx", small_texts.inputs_of(model))
    write_configuration(model.info, tmp_path / "kit")
    write_infer_script(exported)
    texts = ["a film", "the film", "dull , boring story", ""]
    split = TextSplit(tuple(texts), torch.zeros(len(texts))).with_tokenizer(model.info.tokenizer)
    with torch.no_grad():
        wanted = torch.cat([model.module(*split.fetch(torch.tensor([row]))) for row in range(len(texts))]).numpy()
    alike = wanted @ wanted.T
    found = [json.loads(line) for line in run(tmp_path / "kit", *texts, "--json").stdout.splitlines()]
    np.testing.assert_allclose([row["embedding"] for row in found], wanted, atol=1e-5)
    np.testing.assert_allclose([row["similarities"] for row in found], alike, atol=1e-5)
    pairs = run(tmp_path / "kit", "--pair", *texts).stdout.splitlines()
    assert pairs == [f"0: {alike[0, 1]:.4f}", f"1: {alike[2, 3]:.4f}"]
    lines = run(tmp_path / "kit", *texts[:2]).stdout.splitlines()
    assert lines[1].startswith(f"1: [{wanted[1, 0]:.4f}, ") and lines[1].endswith(
        f"...] of 32 numbers; similarity to 0: {alike[0, 1]:.4f}"
    )
    assert run(tmp_path / "kit", texts[0]).stdout.rstrip().endswith("of 32 numbers")


def kit(model: TorchModel, folder: Path) -> OnnxModel:
    """The float file with what the script reads beside it."""
    exported = export_onnx(model, folder / "model.onnx", small_texts.inputs_of(model))
    write_configuration(model.info, folder)
    write_infer_script(exported)
    return exported


def probabilities(folder: Path, *arguments: str) -> np.ndarray:
    done = run(folder, "--json", "--top", "2", *arguments)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == list(range(len(rows)))
    return np.array(
        [[found["probability"] for found in sorted(row["classes"], key=lambda c: c["label"])] for row in rows]
    )


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta-v2"])
def test_batches_answer_as_each_text_alone(kind: str, tmp_path: Path) -> None:
    """RoBERTa counts positions by which tokens are no padding, whose id is 1."""
    exported = kit(small_texts.encoder(kind, num_hidden_layers=1), tmp_path / "kit")
    (tmp_path / "texts.txt").write_text("\n".join(reversed(EDGES * 3)) + "\n", encoding="utf-8")
    given = ("--file", str(tmp_path / "texts.txt"))
    alone = probabilities(tmp_path / "kit", *given, "--batch-size", "1")
    assert alone.shape == (18, 2)
    for size in ("4", "32"):
        np.testing.assert_allclose(probabilities(tmp_path / "kit", *given, "--batch-size", size), alone, atol=1e-5)
    pairs = [probabilities(tmp_path / "kit", *given, "--pair", "--batch-size", size) for size in ("1", "32")]
    np.testing.assert_allclose(pairs[1], pairs[0], atol=1e-5)
    # Ranges that are measured at every call would make neighbours of one batch answer for one another.
    write_dynamic(exported.path, exported.path)
    np.testing.assert_array_equal(
        probabilities(tmp_path / "kit", *given), probabilities(tmp_path / "kit", *given, "--batch-size", "1")
    )


def test_words_have_their_tags_in_batches(tmp_path: Path) -> None:
    model = small_texts.encoder(task="token-classification", num_hidden_layers=1)
    kit(model, tmp_path / "kit")
    texts = ["a dull film", "", "charming", "the film " * 40, "漢字 a clumsy , boring story"]
    runs = [run(tmp_path / "kit", *texts, "--json", "--batch-size", size) for size in ("1", "3", "32")]
    assert {done.returncode for done in runs} == {0}, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout == runs[2].stdout
    rows = [json.loads(line)["tags"] for line in runs[0].stdout.splitlines()]
    assert [[one["word"] for one in row] for row in rows] == [text.split() for text in texts]
    assert all(one["tag"] in model.info.classes for one in rows[0]) and rows[3][-1]["tag"] is None
    assert run(tmp_path / "kit", texts[0]).stdout.startswith(f"0: a/{rows[0][0]['tag']} dull/")
