"""Data as each network's own file describes it."""

from dataclasses import replace

import pytest
import torch

from compressor.data import Data, Normalise, TensorSplit, fitted
from compressor.data.fitting import outputs_by_class
from compressor.data.labels import IGNORED, UNLABELED
from compressor.errors import DataError
from compressor.models import InputSpec, ModelInfo


def data_of(classes: tuple[str, ...], labels: list[int] | None = None) -> Data:
    labels = list(range(len(classes))) if labels is None else labels
    split = TensorSplit(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels))
    return Data("shapes", split, split, split, classes, "f", Normalise((0.5,), (0.5,)))


def seen(data: Data, *classes: str) -> list[str]:
    """What the network's outputs are called that the labels of the data name."""
    found = fitted(data, ModelInfo(classes=classes))
    return [classes[label] if label >= 0 else str(label) for label in found.train.labels.tolist()]


def test_labels_are_the_outputs_of_the_same_name() -> None:
    data = data_of(("cat", "dog", "eel"))
    assert seen(data, "eel", "cat", "dog") == ["cat", "dog", "eel"]
    # More outputs than the data has classes: the rest never occurs.
    assert seen(data, "ant", "eel", "cat", "dog") == ["cat", "dog", "eel"]
    found = fitted(data, ModelInfo(classes=("eel", "cat", "dog")))
    assert found.classes == ("eel", "cat", "dog") and found.fingerprint != data.fingerprint
    assert fitted(found, ModelInfo(classes=found.classes)) is found
    # A class of the data that has no sample needs no output.
    assert seen(data_of(("cat", "dog", "eel"), [0, 2]), "eel", "cat") == ["cat", "eel"]


def test_labels_that_are_no_class_stay() -> None:
    assert seen(data_of(("a", "b"), [1, UNLABELED, IGNORED]), "b", "a") == ["b", str(UNLABELED), str(IGNORED)]


def test_names_of_one_number_are_the_same_however_written() -> None:
    assert seen(data_of(("2.0", "1.0", "0.0")), "LABEL_0", "LABEL_1", "LABEL_2") == ["LABEL_2", "LABEL_1", "LABEL_0"]
    assert seen(data_of(("1", "2")), "2", "1") == ["1", "2"]
    # Whole numbers are the places of outputs that have names.
    assert seen(data_of(("0", "1", "2")), "cat", "dog", "eel") == ["cat", "dog", "eel"]


@pytest.mark.parametrize(
    ("data", "model", "unknown"),
    [
        (("cat", "dog"), ("cat", "cow"), "dog"),
        (("cat", "dog"), ("0", "1", "2"), "cat"),
        # Stars from 1 to 3 and from 0 to 2 are not the same.
        (("0", "1", "2"), ("1", "2", "3"), "0"),
        (("0", "1", "2"), ("cat", "dog"), "2"),
        (("0", "1"), ("none", "1"), "0"),
        # Which of the two cranes is meant?
        (("crane", "dog"), ("crane", "crane", "dog"), "crane"),
    ],
)
def test_classes_that_the_network_has_not_are_refused(
    data: tuple[str, ...], model: tuple[str, ...], unknown: str
) -> None:
    with pytest.raises(DataError, match=rf"net\.pt has {len(model)} classes .*'shapes' has .* is '{unknown}'"):
        fitted(data_of(data), ModelInfo(classes=model, source="net.pt"))


def test_names_on_one_side_alone_go_by_their_order_and_it_is_said() -> None:
    found = fitted(data_of(("bad", "good")), ModelInfo(classes=("LABEL_0", "LABEL_1")))
    assert found.train.labels.tolist() == [0, 1] and found.classes == ("bad", "good")
    assert "LABEL_1 is 'good'" in found.notes[0]
    assert fitted(found, ModelInfo(classes=("LABEL_0", "LABEL_1"))) is found


def test_images_are_normalised_as_the_network_was_trained() -> None:
    data = data_of(("a", "b"))
    own = InputSpec(shape=(1, 2, 2), mean=(0.1,), std=(0.2,))
    found = fitted(data, ModelInfo(inputs=(own,)))
    assert found.normalise == Normalise((0.1,), (0.2,)) and found.fingerprint != data.fingerprint
    assert fitted(data, ModelInfo(inputs=(own.model_copy(update={"mean": (), "std": ()}),))) is data
    with pytest.raises(DataError, match=r"net\.pt has mean and std for 3 channels, 'shapes' has 1"):
        fitted(data, ModelInfo(source="net.pt", inputs=(own.model_copy(update={"mean": (0.1,) * 3}),)))
    images = torch.randint(0, 256, (2, 1, 2, 2), dtype=torch.uint8)
    ours, theirs = Normalise((0.1,), (0.2,)), Normalise((0.5,), (0.25,))
    torch.testing.assert_close(theirs.again(ours(images), ours), theirs(images))


def test_outputs_of_a_teacher_are_put_in_the_order_of_the_data() -> None:
    data = data_of(("cat", "dog"))
    teacher = fitted(data, ModelInfo(classes=("ant", "dog", "cat")))
    assert outputs_by_class(teacher, data) == [2, 1]
    assert outputs_by_class(data, data) is None
    with pytest.raises(DataError, match="none of the former is 'eel'"):
        outputs_by_class(teacher, replace(data, classes=("cat", "eel")))
