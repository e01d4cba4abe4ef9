"""Inputs without labels join the others in order, bring no labels with them, and can be left out again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compressor.data.batches import UNLABELED, Subset, TensorSplit
from compressor.data.load import load_data, shorten
from compressor.data.unlabeled import Joined, load_unlabeled, only_labelled, with_unlabeled
from compressor.errors import DataError


def numbered(start: int, count: int) -> TensorSplit:
    values = torch.arange(start, start + count)
    return TensorSplit(values[:, None].float(), values)


def test_joined_samples_come_in_the_order_asked() -> None:
    joined = Joined(numbered(0, 3), numbered(10, 4))
    assert len(joined) == 7
    order = torch.tensor([6, 0, 3, 2, 4, 1, 5])
    wanted = torch.tensor([13.0, 0, 10, 2, 11, 1, 12])
    assert torch.equal(joined.fetch(order)[0].flatten(), wanted)
    assert torch.equal(joined.labels[order].float(), wanted)
    assert torch.equal(joined.fetch(torch.tensor([4, 3]))[0].flatten(), torch.tensor([11.0, 10]))


def test_labels_that_the_extra_inputs_have_are_not_looked_at() -> None:
    data = shorten(load_data("digits"), 100, 50)
    extra = Subset(load_data("digits").train, torch.arange(200))
    joined = with_unlabeled(data, extra, "more digits")
    assert joined.unlabeled == 200 and len(joined.train) == 300 and data.unlabeled == 0
    assert set(joined.train.labels[100:].tolist()) == {UNLABELED}
    assert joined.fingerprint != data.fingerprint
    assert joined.validation is data.validation and joined.test is data.test
    assert "200 inputs without labels from more digits join the 100" in joined.notes[-1]


def test_leaving_them_out_keeps_the_number_of_steps() -> None:
    data = shorten(load_data("digits"), 100, 50)
    joined = with_unlabeled(data, Subset(load_data("digits").train, torch.arange(130)), "x")
    labelled = only_labelled(joined)
    assert labelled.steps_per_epoch(16) == joined.steps_per_epoch(16)
    assert labelled.unlabeled == 0
    seen = torch.cat([batch.indices for batch in labelled.training_batches(10, 0, 0)])
    assert len(seen) == 230
    counts = labelled.train.indices.bincount()  # type: ignore[attr-defined]
    assert len(counts) == 100 and set(counts.tolist()) == {2, 3}
    assert only_labelled(data) is data


def test_a_folder_of_loose_images_is_brought_to_size(tmp_path: Path) -> None:
    data = load_data("digits", args={"channels": 3, "size": 16})
    for index, size in enumerate([(20, 30), (16, 16), (8, 8)]):
        folder = tmp_path / f"camera-{index}"
        folder.mkdir()
        Image.fromarray(np.full((*size, 3), 40 * index, np.uint8)).save(folder / "a.png")
    (tmp_path / "notes.txt").write_text("no image")
    joined = load_unlabeled(data, str(tmp_path))
    assert joined.unlabeled == 3
    batch = joined.batch("train", torch.arange(len(data.train), len(joined.train)))
    assert batch.inputs[0].shape == (3, 3, 16, 16)


def test_an_archive_of_inputs_alone(tmp_path: Path) -> None:
    data = load_data("digits")
    np.savez(tmp_path / "more.npz", x_train=np.zeros((5, 8, 8), np.uint8))
    assert load_unlabeled(data, str(tmp_path / "more.npz")).unlabeled == 5
    assert load_unlabeled(data, "digits").unlabeled == len(data.train)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    data = load_data("digits")
    np.savez(tmp_path / "large.npz", x_train=np.zeros((5, 9, 8), np.uint8))
    np.savez(tmp_path / "floats.npz", x_train=np.zeros((5, 8, 8), np.float32))
    np.savez(tmp_path / "other.npz", images=np.zeros((5, 8, 8), np.uint8))
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("large.npz", r"\(1, 9, 8\) uint8, those of 'digits' \(1, 8, 8\)"),
        ("floats.npz", "float32"),
        ("other.npz", "no 'x_train'"),
        ("empty", "has no images"),
        ("missing", "no data 'missing'"),
    ):
        with pytest.raises(DataError, match=words):
            load_unlabeled(data, name if name == "missing" else str(tmp_path / name))
