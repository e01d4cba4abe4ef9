"""Scores by hand and by scikit-learn, and what the check refuses."""

import digits
import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, recall_score, top_k_accuracy_score
from torch import nn

from compressor.data import Data
from compressor.data.batches import TensorSplit
from compressor.errors import DataError, InputError, PlanError
from compressor.tasks import Task, make_task
from compressor.testing import TaskContract


class TestContract(TaskContract):
    task: Task = make_task("image-classification")

    def module(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def data(self) -> Data:
        return digits.digits_data()


def random_outputs(classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, 500)
    outputs = generator.normal(size=(500, classes)).astype(np.float32)
    outputs[np.arange(500), labels] += 1
    return outputs, labels


def test_labels_that_the_outputs_do_not_reach() -> None:
    outputs, labels = random_outputs()
    with pytest.raises(DataError, match=r"has label 9, the network gives 3 outputs \(0\.\.2\)"):
        make_task("image-classification").score(outputs[:, :3], labels, digits.digits_data())


def test_scores_are_scikit_learns() -> None:
    outputs, labels = random_outputs()
    score = make_task("image-classification").score(outputs, labels, digits.digits_data())
    predicted = outputs.argmax(axis=1)
    assert score.value == pytest.approx((predicted == labels).mean())
    assert score.stderr == pytest.approx((score.value * (1 - score.value) / 500) ** 0.5)
    assert score.others["top5"] == pytest.approx(top_k_accuracy_score(labels, outputs, k=5))
    assert score.others["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    recalls = recall_score(labels, predicted, average=None)
    assert list(score.per_class.values()) == pytest.approx(list(recalls))


def test_another_score_leads() -> None:
    outputs, labels = random_outputs()
    score = make_task("image-classification", score="macro_f1").score(outputs, labels, digits.digits_data())
    assert score.value == pytest.approx(f1_score(labels, outputs.argmax(axis=1), average="macro"))
    assert score.per_sample is None
    assert "accuracy" in score.others
    # The bootstrap's error is of the size that accuracy's has.
    assert 0.5 < score.stderr / (0.25 / 500) ** 0.5 < 2


def test_top5_of_three_classes_is_one() -> None:
    outputs, labels = random_outputs(classes=3)
    assert make_task("image-classification").score(outputs, labels, digits.digits_data()).others["top5"] == 1


def test_own_loss_gets_outputs_and_labels() -> None:
    task = make_task("image-classification", loss=lambda outputs, labels: outputs.sum() + labels.sum())
    batch = digits.digits_data().batch("train", torch.arange(2))
    assert task.loss(torch.ones(2, 10), batch) == 20 + batch.labels.sum()


@pytest.mark.parametrize(("name", "score"), [("image-clasification", None), ("image-classification", "acuracy")])
def test_unknown_names_get_a_guess(name: str, score: str | None) -> None:
    with pytest.raises(InputError, match="did you mean"):
        make_task(name, score=score)


def test_check_names_the_label_out_of_range() -> None:
    narrow = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    with pytest.raises(DataError, match=r"label 9.*5 outputs \(0\.\.4\)"):
        make_task("image-classification").check(narrow, digits.digits_data())


def test_check_names_the_shape() -> None:
    with pytest.raises(PlanError, match=r"shape \(1, 8, 8\)"):
        make_task("image-classification").check(nn.Conv2d(3, 4, 3), digits.digits_data())


def test_check_wants_logits() -> None:
    with pytest.raises(PlanError, match="logits of shape"):
        make_task("image-classification").check(nn.Conv2d(1, 4, 3), digits.digits_data())


def test_check_looks_at_every_split() -> None:
    data = digits.digits_data()
    high = TensorSplit(data.test.inputs, torch.full_like(data.test.labels, 11))  # type: ignore[attr-defined]
    wrong = Data(data.source, data.train, data.validation, high, data.classes, data.fingerprint, data.normalise)
    with pytest.raises(DataError, match="label 11"):
        make_task("image-classification").check(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), wrong)
