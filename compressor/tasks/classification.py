"""Classification: one label per image, or per text."""

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn import functional

from compressor.data import Batch, Data
from compressor.errors import DataError, PlanError
from compressor.tasks import Score, ScoredTask
from compressor.tasks.texts import TEXTS

SCORES = ("accuracy", "top5", "macro_f1")


class Classification(ScoredTask):
    """Cross-entropy over classes; scored by accuracy, top-5 accuracy or macro F1.

    Args:
        score: Which of the three leads; the others are in the report too.
        loss: ``loss(outputs, labels)`` in place of cross-entropy.
    """

    scores = SCORES
    usual_loss = staticmethod(functional.cross_entropy)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of (N, classes) against (N,)."""
        return self._loss(outputs.float(), batch.labels)

    def logits(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The outputs themselves."""
        return outputs

    def score(self, outputs: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], data: Data) -> Score:
        """All three scores of (N, classes) logits against (N,) labels, the chosen one leading.

        The standard error of accuracies is the binomial one; macro F1's is a bootstrap over samples.

        Raises:
            DataError: A label that the network has no output for, or answers of other axes.
        """
        if outputs.ndim != 2:
            raise DataError(
                f"the network gives {list(outputs.shape[1:])} numbers a sample, wanted one for each class",
                "a network that classifies whole samples",
            )
        self._check_range(int(labels.max()), outputs.shape[1], data)
        predicted = outputs.argmax(axis=1)
        right = (predicted == labels).astype(np.float64)
        top = np.argpartition(-outputs, min(5, outputs.shape[1]) - 1, axis=1)[:, :5]
        in_top = (top == labels[:, None]).any(axis=1).astype(np.float64)
        classes = outputs.shape[1]
        confusion = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(confusion, (labels, predicted), 1)
        recall = {
            data.classes[c]: float(confusion[c, c] / confusion[c].sum())
            for c in range(min(classes, len(data.classes)))
            if confusion[c].sum()
        }
        values = {
            "accuracy": float(right.mean()),
            "top5": float(in_top.mean()),
            "macro_f1": _macro_f1(confusion),
        }
        per_sample = {"accuracy": right, "top5": in_top}.get(self.score_name)
        value = values.pop(self.score_name)
        stderr = (
            float(np.sqrt(value * (1 - value) / len(labels)))
            if per_sample is not None
            else _bootstrap_macro_f1(labels, predicted, classes)
        )
        return Score(value, stderr, per_sample, values, recall)

    def check(self, module: nn.Module, data: Data) -> None:
        """Run two real samples through the network and compare its outputs with the labels."""
        if data.train.labels.is_floating_point():
            raise DataError(
                f"{self.name} wants classes, the targets of '{data.source}' are numbers",
                "--data-arg label=COLUMN for classes, or --task text-regression for numbers",
            )
        if data.train.labels.dim() != 1:
            raise DataError(
                f"{self.name} wants one label a text, '{data.source}' has a tag for each word",
                "--task token-classification",
            )
        outputs = self.trial(module, data)
        if outputs.dim() != 2:
            raise PlanError(
                f"{self.name} wants logits of shape (N, classes), the network gives {tuple(outputs.shape)}",
                "wrap the network so that its forward returns logits",
            )
        highest = max(int(split.labels.max()) for split in (data.train, data.validation, data.test))
        self._check_range(highest, outputs.shape[1], data)

    def _check_range(self, highest: int, classes: int, data: Data) -> None:
        if highest >= classes:
            raise DataError(
                f"labels out of range: '{data.source}' has label {highest}, "
                f"the network gives {classes} outputs (0..{classes - 1})",
                f"a network with num_classes={highest + 1}, or data with fewer classes",
            )


class ImageClassification(Classification):
    """One label per image."""

    name = "image-classification"
    axes = "channels, height, width"
    remedy = "give --data with images of the network's size and channels, or another --factory-arg"


class TextClassification(Classification):
    """One label per text, or per pair of texts."""

    name = "text-classification"
    modality = TEXTS
    axes = "tokens"
    remedy = "a Hugging Face folder of a text classifier, with its tokenizer"

    def mask(self, batch: Batch) -> Tensor:
        """The attention mask, which text networks take second."""
        return batch.inputs[1]


def _macro_f1(confusion: npt.NDArray[np.int64]) -> float:
    hits = np.diag(confusion)
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = total > 0
    return float((2 * hits[present] / total[present]).mean())


def _bootstrap_macro_f1(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int, rounds: int = 100
) -> float:
    rng = np.random.default_rng(0)
    values = []
    for _ in range(rounds):
        chosen = rng.integers(0, len(labels), len(labels))
        confusion = np.bincount(labels[chosen] * classes + predicted[chosen], minlength=classes * classes)
        values.append(_macro_f1(confusion.reshape(classes, classes)))
    return float(np.std(values))
