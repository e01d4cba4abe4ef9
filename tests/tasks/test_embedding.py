"""Scores and losses by hand, what is refused, and an encoder that learns how alike texts are, and teaches another."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import encoders
import numpy as np
import onnxruntime
import pytest
import small_texts
import torch
from torch import nn

from compressor.context import RunContext, Teacher
from compressor.data import Batch, Data
from compressor.data.load import load_data, shorten
from compressor.data.unlabeled import load_unlabeled
from compressor.distill import Distillation, KdSettings, labels_only, recover
from compressor.distill.losses import cosine, cosine_similarities, logit_mse
from compressor.distill.objective import describe
from compressor.errors import DataError, InputError, PlanError
from compressor.export.artifacts import write_infer_script
from compressor.export.onnx import export_onnx
from compressor.export.text_files import write_text_files
from compressor.loading import load_file
from compressor.measure import collect_outputs, score_form, timed_inputs
from compressor.models import TorchModel
from compressor.runners import OnnxRunner
from compressor.tasks import Task, make_task
from compressor.tasks.embedding import cosent
from compressor.testing import TaskContract
from compressor.training import TrainSettings

NAME = "sentence-embedding"
COLUMNS = {"text": "one", "pair": "other", "target": "alike"}
TRAIN = TrainSettings(epochs=15, batch_size=16, lr=3e-3, precision="fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("embedding")
    encoders.alike_folder(made / "data")
    encoders.encoder_folder(made / "network", task=NAME)
    return made


def encoder(folder: Path, kind: str = "bert", **changes: object) -> TorchModel:
    loaded = load_file(encoders.encoder_folder(folder, kind, task=NAME, **changes), task=NAME)
    assert isinstance(loaded, TorchModel)
    return loaded


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


def test_scores_by_hand(folder: Path) -> None:
    # Cosines 1, 0, 0.6 and -1, whatever the lengths; ranks 4, 2, 3, 1 against 4, 3, 2, 1.
    vectors = np.array([[[1, 0], [2, 0]], [[1, 0], [0, 3]], [[0, 1], [4, 3]], [[1, 1], [-1, -1]]], dtype=np.float32)
    wanted = np.array([5.0, 3.0, 2.0, 0.0])
    score = make_task(NAME).score(vectors, wanted, context(folder).data)
    assert score.value == pytest.approx(1 - 6 * 2 / (4 * 15))
    # Deviations 0.85, -0.15, 0.45, -1.15 against 2.5, 0.5, -0.5, -2.5.
    assert score.others == {"pearson": pytest.approx(4.7 / (2.27 * 13) ** 0.5)}
    assert make_task(NAME, score="pearson").score(vectors, wanted, context(folder).data).value == pytest.approx(
        score.others["pearson"]
    )


def test_cosent_by_hand_and_by_loops() -> None:
    # The second pair is more alike than the first and has the smaller cosine.
    loss = cosent(torch.tensor([0.5, 0.3]), torch.tensor([1.0, 2.0]))
    assert float(loss) == pytest.approx(np.log1p(np.exp(20 * 0.2)) / 20)
    rng = np.random.default_rng(0)
    cosines, targets = rng.uniform(-1, 1, 9), rng.integers(0, 4, 9)
    mistakes = [np.exp(20 * (cosines[j] - cosines[i])) for i in range(9) for j in range(9) if targets[i] > targets[j]]
    found = cosent(torch.tensor(cosines), torch.tensor(targets))
    assert float(found) == pytest.approx(np.log(1 + sum(mistakes)) / 20, rel=1e-5)
    assert float(cosent(torch.tensor(cosines), torch.tensor(targets * 7.0 - 3))) == pytest.approx(float(found))
    assert float(cosent(torch.tensor([0.1, 0.9]), torch.ones(2))) == 0


def test_another_loss_gets_cosines_and_targets(folder: Path) -> None:
    ctx = context(folder)
    task = make_task(NAME, loss=lambda cosines, targets: (cosines - targets / 4).square().mean())
    batch = ctx.data.batch("train", torch.arange(4))
    vectors = task.forward(ctx.reference.module, batch)
    assert vectors.shape == (4, 2, 32)
    cosines = (vectors[:, 0] * vectors[:, 1]).sum(dim=1)
    torch.testing.assert_close(task.loss(vectors, batch), (cosines - batch.labels / 4).square().mean())


def test_the_two_texts_of_a_pair_never_meet(folder: Path) -> None:
    ctx = context(folder)
    batch = ctx.data.batch("train", torch.arange(6))
    assert batch.inputs[0].shape[:2] == (6, 2) and int(batch.inputs[2].max()) == 0
    swapped = Batch(tuple(tensor.flip(1) for tensor in batch.inputs), batch.labels, batch.indices)
    with torch.no_grad():
        vectors, other = (ctx.task.forward(ctx.reference.module, one) for one in (batch, swapped))
    torch.testing.assert_close(vectors.flip(1), other)
    torch.testing.assert_close(vectors.norm(dim=2), torch.ones(6, 2))


def test_users_ask_about_single_texts(folder: Path) -> None:
    ctx = context(folder)
    ids, mask, _ = ctx.task.example_inputs(ctx.data, 3)
    assert ids.shape[0] == 3 and int(mask.sum(dim=1).max()) == ids.shape[1]
    assert {inputs[0].shape[0] for inputs in timed_inputs(ctx)} == {1}
    assert all(bool((inputs[1] == 1).all()) for inputs in timed_inputs(ctx))


def test_an_unknown_score_gets_a_guess() -> None:
    with pytest.raises(InputError, match="did you mean 'spearman'"):
        make_task(NAME, score="sperman")


def test_what_it_learns_from_a_teacher_is_direction_and_likeness(folder: Path, tmp_path: Path) -> None:
    ctx = context(folder)
    batch = ctx.data.batch("train", torch.arange(8))
    student = encoder(tmp_path / "student", num_hidden_layers=1, initializer_range=0.2)
    with torch.no_grad():
        ours, theirs = (ctx.task.forward(m, batch).flatten(0, 1) for m in (student.module, ctx.reference.module))
    loss = Distillation(ctx, KdSettings(alpha=0.75), student.module)(student.module, batch, 0.0)
    torch.testing.assert_close(loss.terms["kd"].detach(), cosine(ours, theirs) + cosine_similarities(ours, theirs))
    torch.testing.assert_close(loss.total, 0.25 * loss.terms["labels"] + 0.75 * loss.terms["kd"])
    assert describe(student.module, ctx, KdSettings()) == []
    loss = Distillation(ctx, KdSettings(response="logit_mse"), student.module)(student.module, batch, 0.0)
    torch.testing.assert_close(loss.terms["kd"].detach(), logit_mse(ours, theirs))


def test_of_another_width_likeness_alone_is_learned(folder: Path, tmp_path: Path) -> None:
    ctx = context(folder)
    batch = ctx.data.batch("train", torch.arange(8))
    student = encoder(tmp_path / "student", hidden_size=16, initializer_range=0.2)
    with torch.no_grad():
        ours, theirs = (ctx.task.forward(m, batch).flatten(0, 1) for m in (student.module, ctx.reference.module))
    loss = Distillation(ctx, KdSettings(), student.module)(student.module, batch, 0.0)
    torch.testing.assert_close(loss.terms["kd"].detach(), cosine_similarities(ours, theirs))
    assert (
        "have 16 numbers, the teacher's 32: how alike texts are is compared"
        in describe(student.module, ctx, KdSettings())[0]
    )
    with pytest.raises(PlanError, match="number by number: the student's vectors have 16") as refused:
        describe(student.module, ctx, KdSettings(response="logit_mse"))
    assert "leave kd.response out" in str(refused.value.hint)


def test_several_teachers_are_as_one_that_finds_the_mean_of_their_cosines(folder: Path, tmp_path: Path) -> None:
    ctx = context(folder)
    other = encoder(tmp_path / "other", hidden_size=16, initializer_range=0.2)
    both = replace(ctx, teachers=(Teacher(ctx.reference, 3.0), Teacher(other, 1.0)))
    batch = ctx.data.batch("train", torch.arange(8))
    student = encoder(tmp_path / "student", initializer_range=0.1).module
    with torch.no_grad():
        ours, first, second = (
            ctx.task.forward(m, batch).flatten(0, 1) for m in (student, ctx.reference.module, other.module)
        )
    wanted = 0.75 * first @ first.T + 0.25 * second @ second.T
    loss = Distillation(both, KdSettings(), student)(student, batch, 0.0)
    torch.testing.assert_close(loss.terms["kd"].detach(), (ours @ ours.T - wanted).square().sum() / (16 * 15))
    assert "those of 2 teachers end to end 48" in describe(student, both, KdSettings())[0]


@pytest.mark.parametrize(
    "kd",
    [
        KdSettings(response="decoupled_kd"),
        KdSettings(teacher_weights="confidence"),
        KdSettings(label_smoothing=0.1),
        KdSettings(min_confidence=0.5),
    ],
)
def test_settings_about_probabilities_are_refused_by_the_plan(kd: KdSettings, folder: Path) -> None:
    ctx = context(folder)
    with pytest.raises(PlanError, match=r"class probabilities.*sentence-embedding are vectors"):
        describe(ctx.reference.module, ctx, kd)


def test_data_that_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    ctx = context(folder)
    encoders.sentence_folder(tmp_path / "classes", 32, 8)
    encoders.rated_folder(tmp_path / "single", 32, 8)
    classes = load_data(str(tmp_path / "classes")).seen_by(ctx.data.tokenizer)
    with pytest.raises(DataError, match=r"wants numbers.*has classes") as refused:
        ctx.task.check(ctx.reference.module, classes)
    assert "--data-arg target=COLUMN" in str(refused.value.hint)
    single = load_data(str(tmp_path / "single"), args={"target": "rating"}).seen_by(ctx.data.tokenizer)
    with pytest.raises(DataError, match=r"wants pairs of texts.*has one text a row") as refused:
        ctx.task.check(ctx.reference.module, single)
    assert "--data-arg pair=COLUMN" in str(refused.value.hint)
    encoders.encoder_folder(tmp_path / "classifier")
    classifier = load_file(tmp_path / "classifier")
    assert isinstance(classifier, TorchModel)
    with pytest.raises(DataError, match="this one reads them as one"):
        ctx.task.check(classifier.module, ctx.data.seen_by(classifier.info.tokenizer))
    with pytest.raises(PlanError, match=r"wants a vector a text, \(N, width\), the network gives"):
        ctx.task.check(_Tokens(), ctx.data)


class _Tokens(nn.Module):
    """A state a token."""

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*ids.shape, 4)


def test_labels_then_a_teacher_with_more_texts_make_it_better(folder: Path, tmp_path: Path) -> None:
    ctx = replace(context(folder), workdir=tmp_path, shared=tmp_path)
    task, teacher = ctx.task, ctx.reference
    before = score_form(teacher, ctx).value
    recover(teacher.module, replace(ctx, teachers=()), TRAIN, KdSettings(), name="teacher")
    learned = score_form(teacher, ctx).value
    assert learned > max(0.8, before)
    student = encoder(tmp_path / "student", num_hidden_layers=2)
    encoders.write_rows(tmp_path / "more.jsonl", [{"one": row["text"]} for row in encoders.sentences(61, 5)])
    data = load_unlabeled(ctx.data, str(tmp_path / "more.jsonl"), {"text": "one", "pair": "other"})
    assert data.unlabeled == 31
    taught = replace(ctx, data=data, teachers=(Teacher(teacher),))
    recover(student.module, taught, TRAIN, KdSettings(cache="on", views=1), name="student")
    (cached,) = tmp_path.glob("teacher-answers-*")
    assert np.load(cached, mmap_mode="r").shape == (1, len(data.train), 2, 32)
    score = score_form(student, ctx).value
    assert score > 0.75
    assert labels_only(ctx)(student.module, data.batch("train", torch.arange(4)), 0.0).terms.keys() == {"labels"}
    # What is shipped gives the same vectors: the file, the script beside it, and the folder for transformers.
    exported = export_onnx(student, tmp_path / "model.onnx", task.example_inputs(data))
    (output,) = onnxruntime.InferenceSession(exported.path).get_outputs()
    assert (output.name, output.shape) == ("sentence_embedding", ["batch", 32])
    with OnnxRunner(exported.path) as runner:
        answers = collect_outputs(runner, ctx, batch_size=7)
    assert answers.shape == (len(data.test), 2, 32)
    assert task.score(answers, data.test.labels.numpy(), data).value == pytest.approx(score, abs=1e-3)
    write_text_files(student, exported)
    pair = encoders.alike(1, 2)[0]
    command = [sys.executable, write_infer_script(exported), "--json", "--pair", pair["one"], pair["other"]]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)["similarity"] == pytest.approx(float(answers[0, 0] @ answers[0, 1]), abs=1e-4)
    assert load_file(exported.path).info.tokenizer == opened_spec(tmp_path / "transformers", exported.path)
    opened = load_file(tmp_path / "transformers")
    assert isinstance(opened, TorchModel) and opened.info.task == NAME and opened.info.classes == ()
    assert score_form(opened, ctx).value == pytest.approx(score)


def opened_spec(folder: Path, file: Path) -> object:
    """The folder's tokenizer, with the settings that lie beside the file."""
    spec = load_file(folder).info.tokenizer
    assert spec is not None and spec.apart
    return spec.model_copy(update={"config": json.loads(file.with_name("tokenizer_config.json").read_text())})
