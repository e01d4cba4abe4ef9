"""Scores by another implementation, what the check refuses, and a network that learns tags, taught or not."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import encoders
import numpy as np
import pytest
import small_texts
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional

from compressor.cli.main import main
from compressor.context import RunContext, Teacher
from compressor.data import Data
from compressor.data.labels import IGNORED
from compressor.data.load import load_data, shorten
from compressor.data.texts import TextSplit
from compressor.distill import Distillation, KdSettings, kd_kl, labels_only, recover
from compressor.distill.losses import label_smoothing
from compressor.errors import DataError, InputError, PlanError
from compressor.export.artifacts import write_infer_script
from compressor.export.onnx import export_onnx
from compressor.export.text_files import write_text_files
from compressor.loading import load_file
from compressor.measure import collect_outputs, parity, score_form
from compressor.models import TorchModel
from compressor.runners import OnnxRunner
from compressor.tasks import Task, make_task
from compressor.tasks.tagging import entities
from compressor.testing import TaskContract
from compressor.training import TrainSettings

NAME = "token-classification"
COLUMNS = {"tokens": "words", "tags": "tags"}
TRAIN = TrainSettings(epochs=16, batch_size=32, lr=3e-3, precision="fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tags")
    encoders.tagged_folder(made / "data")
    encoders.encoder_folder(made / "network", task=NAME)
    return made


def context(folder: Path) -> RunContext:
    return small_texts.task_context(folder, NAME, **COLUMNS)


class TestContract(TaskContract):
    task: Task = make_task(NAME)

    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def module(self) -> nn.Module:
        return context(self.folder).reference.module

    def data(self) -> Data:
        return shorten(context(self.folder).data, 32, 16)


def spans_by_pattern(tags: list[str]) -> set[tuple[int, int, str]]:
    """Entities by a regular expression over a letter a word."""
    found = set()
    for kind in {tag[2:] for tag in tags if tag != "O"}:
        letters = "".join(tag[0] if tag[2:] == kind else "." for tag in tags)
        found |= {(match.start(), match.end() - 1, kind) for match in re.finditer(r"BI*|(?<![BI])I+", letters)}
    return found


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", set()),
        ("B-X I-X O B-X", {(0, 1, "X"), (3, 3, "X")}),
        ("B-X B-X I-X", {(0, 0, "X"), (1, 2, "X")}),
        ("I-X I-X O I-Y", {(0, 1, "X"), (3, 3, "Y")}),
        ("B-X I-Y I-Y", {(0, 0, "X"), (1, 2, "Y")}),
    ],
)
def test_entities_by_hand(tags: str, spans: set[tuple[int, int, str]]) -> None:
    assert entities(tags.split()) == spans == spans_by_pattern(tags.split())


def random_answers(data: Data) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    there = np.arange(12) < generator.integers(1, 13, 200)[:, None]
    labels = np.where(there, generator.integers(0, 5, (200, 12)), IGNORED)
    outputs = generator.normal(size=(200, 12, 5)).astype(np.float32)
    outputs += 2 * np.eye(5, dtype=np.float32)[labels.clip(0)]
    # As if their ends had been cut off.
    outputs[:20, 3:] = 0
    return outputs, labels


def test_scores_are_those_of_another_implementation(folder: Path) -> None:
    data = context(folder).data
    outputs, labels = random_answers(data)
    score = make_task(NAME).score(outputs, labels, data)
    true, found = set(), set()
    right, words = 0, 0
    for number, (answer, wanted) in enumerate(zip(outputs, labels, strict=True)):
        count = int((wanted != IGNORED).sum())
        tags = [data.classes[label] for label in wanted[:count]]
        said = [data.classes[one.argmax()] if one.any() else "none" for one in answer[:count]]
        true |= {(number, *span) for span in spans_by_pattern(tags)}
        found |= {(number, *span) for span in spans_by_pattern([tag if tag != "none" else "O" for tag in said])}
        right, words = right + sum(a == b for a, b in zip(tags, said, strict=True)), words + count
    precision, recall = len(true & found) / len(found), len(true & found) / len(true)
    assert score.value == pytest.approx(2 * precision * recall / (precision + recall))
    assert score.others == pytest.approx({"accuracy": right / words, "precision": precision, "recall": recall})
    for kind, value in score.per_class.items():
        of_kind = {span for span in true if span[3] == kind}
        assert value == pytest.approx(len(of_kind & found) / len(of_kind))
    assert 0 < score.stderr < 0.05
    assert make_task(NAME, score="accuracy").score(outputs, labels, data).value == pytest.approx(right / words)


def test_without_entities_f1_is_the_accuracy(folder: Path) -> None:
    data = replace(context(folder).data, classes=("NOUN", "VERB", "DET", "ADJ", "O"))
    score = make_task(NAME).score(*random_answers(data), data)
    assert score.value == pytest.approx(score.others["accuracy"]) and not score.per_class


def test_an_unknown_score_gets_a_guess() -> None:
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        make_task(NAME, score="acuracy")


def test_labels_of_texts_are_refused_here_and_tags_there(folder: Path) -> None:
    ctx = context(folder)
    encoders.sentence_folder(folder / "classes", 32, 8)
    classes = load_data(str(folder / "classes")).seen_by(ctx.data.tokenizer)
    with pytest.raises(DataError, match="has one label a text") as refused:
        ctx.task.check(ctx.reference.module, classes)
    assert "--data-arg tokens=COLUMN" in str(refused.value.hint)
    with pytest.raises(DataError, match="has a tag for each word"):
        make_task("text-classification").check(ctx.reference.module, ctx.data)


def test_heads_that_do_not_fit_are_refused(folder: Path) -> None:
    ctx = context(folder)
    encoders.encoder_folder(folder / "classifier")
    classifier = load_file(folder / "classifier")
    assert isinstance(classifier, TorchModel)
    with pytest.raises(PlanError, match=r"\(N, tokens, classes\), the network gives \(2, 2\)"):
        ctx.task.check(classifier.module, ctx.data)
    assert isinstance(ctx.data.test, TextSplit)
    more = replace(ctx.data.test, labels=torch.full_like(ctx.data.test.labels, 7))
    with pytest.raises(DataError, match="has 8, the network gives 5 outputs"):
        ctx.task.check(ctx.reference.module, replace(ctx.data, test=more))


def by_hand(outputs: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The outputs of words, (words of all, classes)."""
    return torch.stack([outputs[n, at] for n, row in enumerate(places.tolist()) for at in row if at >= 0])


def test_padding_and_further_pieces_count_for_nothing(folder: Path) -> None:
    ctx = context(folder)
    encoders.encoder_folder(folder / "student", task=NAME, num_hidden_layers=1, initializer_range=0.2)
    student = load_file(folder / "student")
    assert isinstance(student, TorchModel)
    batch = ctx.data.batch("train", torch.arange(16))
    assert batch.places is not None and bool((batch.inputs[1] == 0).any())
    with torch.no_grad():
        ours, theirs = (by_hand(m(*batch.inputs), batch.places) for m in (student.module, ctx.reference.module))
    labels = batch.labels[batch.labels != IGNORED]
    loss = Distillation(ctx, KdSettings(alpha=0.75, temperature=2.0), student.module)(student.module, batch, 0.0)
    torch.testing.assert_close(loss.terms["labels"].detach(), functional.cross_entropy(ours, labels))
    torch.testing.assert_close(loss.terms["kd"].detach(), kd_kl(ours, theirs, 2.0))
    smoothed = labels_only(ctx, KdSettings(label_smoothing=0.1))(student.module, batch, 0.0).total
    torch.testing.assert_close(smoothed.detach(), label_smoothing(ours, labels, 0.1))


def test_a_teacher_with_other_tokens_teaches_the_words_it_sees(folder: Path) -> None:
    ctx = context(folder)
    encoders.encoder_folder(folder / "electra", "electra", task=NAME, initializer_range=0.2)
    teacher = load_file(folder / "electra")
    assert isinstance(teacher, TorchModel) and teacher.info.tokenizer is not None
    short = teacher.info.tokenizer.model_copy(update={"max_length": 7})
    teacher = replace(teacher, info=teacher.info.model_copy(update={"tokenizer": short}))
    ctx = replace(ctx, teachers=(Teacher(teacher),))
    student = ctx.reference.module
    batch = ctx.data.batch("train", torch.arange(16))
    theirs = ctx.data.seen_by(short).batch("train", torch.arange(16))
    assert batch.places is not None and theirs.places is not None
    seen = theirs.places >= 0
    assert bool((seen != (batch.places >= 0)).any())
    with torch.no_grad():
        wanted = by_hand(teacher.module(*theirs.inputs), theirs.places)
        ours = by_hand(student(*batch.inputs), torch.where(seen, batch.places, -1))
    loss = Distillation(ctx, KdSettings(), student)(student, batch, 0.0)
    torch.testing.assert_close(loss.terms["kd"].detach(), kd_kl(ours, wanted))


def test_labels_and_then_a_teacher_make_it_better(folder: Path, tmp_path: Path) -> None:
    ctx = replace(context(folder), workdir=tmp_path, shared=tmp_path)
    task, data = ctx.task, ctx.data
    teacher = context(folder).reference
    before = score_form(teacher, ctx).value
    recover(teacher.module, replace(ctx, teachers=()), TRAIN, KdSettings(), name="teacher")
    assert score_form(teacher, ctx).value > max(0.8, before)
    encoders.encoder_folder(tmp_path / "student", task=NAME, num_hidden_layers=2)
    student = load_file(tmp_path / "student")
    assert isinstance(student, TorchModel)
    taught = replace(ctx, teachers=(Teacher(teacher),))
    recover(student.module, taught, TRAIN, KdSettings(alpha=1.0, cache="on", views=1), name="student")
    (cached,) = tmp_path.glob("teacher-answers-*")
    assert np.load(cached, mmap_mode="r").shape == (1, *data.train.labels.shape, 5)
    exported = export_onnx(student, tmp_path / "model.onnx", task.example_inputs(data))
    with OnnxRunner(exported.path) as runner:
        answers = collect_outputs(runner, ctx, batch_size=7)
    score = task.score(answers, data.test.labels.numpy(), data)
    assert score.value > 0.8 and score_form(student, ctx).value == pytest.approx(score.value)
    assert parity(answers, answers).agreement == 1
    write_text_files(student, exported)
    row = encoders.tagged(1, 2)[0]
    command = [sys.executable, write_infer_script(exported), " ".join(row["words"]), "--json"]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["tags"]
    assert [one["word"] for one in said] == row["words"]
    assert [one["tag"] for one in said] == [data.classes[place] for place in answers[0].argmax(1)[: len(said)]]
    opened = load_file(tmp_path / "transformers")
    assert isinstance(opened, TorchModel) and opened.info.task == NAME and opened.info.classes == data.classes
    assert score_form(opened, ctx).value == pytest.approx(score.value)


def test_train_gives_a_pretrained_network_such_a_head(folder: Path, tmp_path: Path) -> None:
    encoders.encoder_folder(tmp_path / "classifier")
    columns = ["--data-arg", "tokens=words", "--data-arg", "tags=tags"]
    typed = ["--data", str(folder / "data"), *columns, "--task", NAME, "--device", "cpu"]
    arguments = ["train", str(tmp_path / "classifier"), *typed, "--out", str(tmp_path / "teacher")]
    result = CliRunner().invoke(main, [*arguments, "--set", "train.epochs=1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    trained = load_file(tmp_path / "teacher")
    assert trained.info.task == NAME and trained.info.classes == encoders.TAGS and not trained.info.untrained
