"""Scores by hand, what the check refuses, and a network that learns numbers, from labels and from a teacher."""

import json
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

from compressor.cli.main import main
from compressor.context import RunContext, Teacher
from compressor.data import Data
from compressor.data.load import load_data, shorten
from compressor.data.unlabeled import only_labelled
from compressor.distill import Distillation, KdSettings, labels_only, recover
from compressor.distill.losses import logit_mse
from compressor.errors import DataError, InputError, PlanError
from compressor.export.artifacts import write_infer_script
from compressor.export.onnx import export_onnx
from compressor.export.text_files import write_text_files
from compressor.loading import load_file
from compressor.measure import collect_outputs, score_form
from compressor.models import TorchModel
from compressor.runners import OnnxRunner
from compressor.tasks import Task, make_task
from compressor.testing import TaskContract
from compressor.training import TrainSettings

NAME = "text-regression"
TRAIN = TrainSettings(epochs=12, batch_size=32, lr=3e-3, precision="fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("regression")
    encoders.rated_folder(made / "data")
    encoders.encoder_folder(made / "network", task=NAME)
    return made


def context(folder: Path) -> RunContext:
    return small_texts.task_context(folder, NAME, target="rating")


class TestContract(TaskContract):
    task: Task = make_task(NAME)

    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def module(self) -> nn.Module:
        return context(self.folder).reference.module

    def data(self) -> Data:
        return shorten(context(self.folder).data, 32, 16)


def random_answers() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    # Rounded, so that some are equal.
    wanted = generator.normal(size=500).round(1)
    found = (wanted + generator.normal(size=500)).round(1)
    return found.astype(np.float32)[:, None], wanted


def test_scores_by_hand(folder: Path) -> None:
    found, wanted = np.array([[1.0], [3.0], [2.0], [6.0]], dtype=np.float32), np.array([1.0, 2.0, 3.0, 4.0])
    score = make_task(NAME).score(found, wanted, context(folder).data)
    # Errors 0, 1, 1, 2; ranks 1, 3, 2, 4 against 1, 2, 3, 4; deviations -2, 0, -1, 3 against -1.5, -0.5, 0.5, 1.5.
    assert score.value == pytest.approx((6 / 4) ** 0.5)
    assert score.others["mae"] == pytest.approx(1.0)
    assert score.others["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert score.others["pearson"] == pytest.approx(7 / (14 * 5) ** 0.5)


def test_errors_and_their_spread(folder: Path) -> None:
    found, wanted = random_answers()
    score = make_task(NAME).score(found, wanted, context(folder).data)
    squares = (found[:, 0].astype(float) - wanted) ** 2
    assert score.value == pytest.approx(squares.mean() ** 0.5)
    assert score.others["mae"] == pytest.approx(np.abs(found[:, 0].astype(float) - wanted).mean())
    drawn = np.random.default_rng(1)
    again = [drawn.choice(squares, len(squares)).mean() ** 0.5 for _ in range(500)]
    assert score.stderr == pytest.approx(np.std(again), rel=0.15)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_correlation_may_lead_and_then_more_is_better(name: str, folder: Path) -> None:
    found, wanted = random_answers()
    task = make_task(NAME, score=name)
    score = task.score(found, wanted, context(folder).data)
    assert task.higher_is_better and not make_task(NAME).higher_is_better
    # Of pearson's r, for numbers that are normal.
    assert score.stderr == pytest.approx((1 - score.value**2) / len(wanted) ** 0.5, rel=0.3)
    constant = task.score(np.ones_like(found), wanted, context(folder).data)
    assert constant.value == 0


def test_the_mean_error_is_a_mean_over_samples(folder: Path) -> None:
    score = make_task(NAME, score="mae").score(*random_answers(), context(folder).data)
    assert score.per_sample is not None and score.per_sample.mean() == score.value


def test_an_unknown_score_gets_a_guess() -> None:
    with pytest.raises(InputError, match="did you mean 'spearman'"):
        make_task(NAME, score="sperman")


def test_classes_are_refused_here_and_numbers_there(folder: Path) -> None:
    ctx = context(folder)
    encoders.sentence_folder(folder / "classes", 32, 8)
    classes = load_data(str(folder / "classes")).seen_by(ctx.data.tokenizer)
    with pytest.raises(DataError, match=r"wants numbers.*has classes") as refused:
        ctx.task.check(ctx.reference.module, classes)
    assert "--data-arg target=COLUMN" in str(refused.value.hint)
    with pytest.raises(DataError, match=r"wants classes.*are numbers") as refused:
        make_task("text-classification").check(ctx.reference.module, ctx.data)
    assert "--task text-regression" in str(refused.value.hint)


def test_a_head_of_classes_is_refused(folder: Path) -> None:
    ctx = context(folder)
    encoders.encoder_folder(folder / "classifier")
    classifier = load_file(folder / "classifier")
    assert isinstance(classifier, TorchModel) and classifier.info.task == "text-classification"
    with pytest.raises(PlanError, match=r"one number a text, \(N, 1\), the network gives \(2, 2\)"):
        ctx.task.check(classifier.module, ctx.data)


def test_a_target_of_minus_one_is_a_target(folder: Path) -> None:
    data = context(folder).data
    assert bool((data.train.labels == -1).any())
    assert data.unlabeled == 0 and only_labelled(data) is data


def test_answers_are_compared_by_their_squared_difference(folder: Path) -> None:
    ctx = context(folder)
    encoders.encoder_folder(folder / "student", task=NAME, num_hidden_layers=1, initializer_range=0.2)
    student = load_file(folder / "student")
    assert isinstance(student, TorchModel)
    batch = ctx.data.batch("train", torch.arange(16))
    loss = Distillation(ctx, KdSettings(alpha=0.75), student.module)(student.module, batch, 0.0)
    with torch.no_grad():
        ours, theirs = student.module(*batch.inputs), ctx.reference.module(*batch.inputs)
    torch.testing.assert_close(loss.terms["kd"].detach(), logit_mse(ours, theirs))
    torch.testing.assert_close(loss.terms["labels"].detach(), (ours[:, 0] - batch.labels).square().mean())
    torch.testing.assert_close(loss.total, 0.25 * loss.terms["labels"] + 0.75 * loss.terms["kd"])


@pytest.mark.parametrize(
    "kd",
    [
        KdSettings(response="decoupled_kd"),
        KdSettings(teacher_weights="confidence"),
        KdSettings(label_smoothing=0.1),
        KdSettings(min_confidence=0.5),
    ],
)
def test_settings_about_probabilities_are_refused(kd: KdSettings, folder: Path) -> None:
    ctx = context(folder)
    with pytest.raises(PlanError, match=r"class probabilities.*text-regression are values"):
        Distillation(ctx, kd, ctx.reference.module)


def test_labels_and_then_a_teacher_make_it_better(folder: Path, tmp_path: Path) -> None:
    ctx = replace(context(folder), workdir=tmp_path, shared=tmp_path)
    task, data = ctx.task, ctx.data
    spread = float(data.test.labels.std())
    teacher = context(folder).reference
    recover(teacher.module, replace(ctx, teachers=()), TRAIN, KdSettings(), name="teacher")
    assert score_form(teacher, ctx).value < 0.6 * spread
    encoders.encoder_folder(tmp_path / "student", task=NAME, num_hidden_layers=2)
    student = load_file(tmp_path / "student")
    assert isinstance(student, TorchModel)
    taught = replace(ctx, teachers=(Teacher(teacher),))
    result = recover(student.module, taught, TRAIN, KdSettings(alpha=1.0, cache="on", views=1), name="student")
    assert list(tmp_path.glob("teacher-answers-*"))
    assert result.score < 0.6 * spread
    assert result.score == min(row["score"] for row in result.history)
    assert labels_only(ctx)(student.module, data.batch("train", torch.arange(4)), 0.0).terms.keys() == {"labels"}
    # What is shipped says the same numbers: the file, the script beside it, and the folder for transformers.
    exported = export_onnx(student, tmp_path / "model.onnx", task.example_inputs(data))
    with OnnxRunner(exported.path) as runner:
        answers = collect_outputs(runner, ctx)
    assert answers.shape == (len(data.test), 1)
    write_text_files(student, exported)
    script = write_infer_script(exported)
    text = encoders.rated(1, 2)[0]["text"]
    said = subprocess.run([sys.executable, script, text, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)["value"] == pytest.approx(float(answers[0, 0]), abs=1e-4)
    opened = load_file(tmp_path / "transformers")
    assert isinstance(opened, TorchModel) and opened.info.task == NAME
    assert score_form(opened, ctx).value == pytest.approx(task.score(answers, data.test.labels.numpy(), data).value)


def test_train_gives_a_pretrained_network_such_a_head(folder: Path, tmp_path: Path) -> None:
    encoders.encoder_folder(tmp_path / "classifier")
    typed = ["--data", str(folder / "data"), "--data-arg", "target=rating", "--task", NAME, "--device", "cpu"]
    arguments = ["train", str(tmp_path / "classifier"), *typed, "--out", str(tmp_path / "teacher")]
    result = CliRunner().invoke(main, [*arguments, "--set", "train.epochs=1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "rmse" in result.output
    trained = load_file(tmp_path / "teacher")
    assert trained.info.task == NAME and trained.info.classes == () and not trained.info.untrained
