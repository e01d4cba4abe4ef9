"""Inputs without labels join the others in order, bring no labels with them, and can be left out again."""

from dataclasses import replace
from pathlib import Path

import encoders
import numpy as np
import pytest
import small
import small_texts
import torch
from PIL import Image

from compressor.data.batches import UNLABELED, Subset, TensorSplit
from compressor.data.load import load_data, shorten
from compressor.data.tokenizer import engine
from compressor.data.unlabeled import Bare, Joined, load_unlabeled, only_labelled, with_unlabeled
from compressor.errors import DataError
from compressor.pipeline import Job
from compressor.pipeline.control import check_control
from compressor.profile import load_profile
from compressor.prune.stage import Prune


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


def test_where_there_are_none_it_is_said(tmp_path: Path) -> None:
    data = small.small_data()
    train = TensorSplit(data.train.fetch(torch.arange(64))[0], torch.full((64,), UNLABELED))
    bare = replace(data, train=train)
    ctx = replace(small.small_context(tmp_path), data=bare)
    with pytest.raises(DataError, match="none of the 64 training samples has a label") as refused:
        Prune(ratio=0.5, importance="taylor").rehearse(small.small_model(), ctx)
    assert refused.value.hint is not None and "magnitude" in refused.value.hint
    job = Job(small.small_model(), bare, load_profile("mobile-cpu"), ctx.task, tmp_path / "run", control=("run",))
    with pytest.raises(DataError, match="has a label"):
        check_control(job)
    # Neither is needed to fit layers by what they made.
    Prune(ratio=0.5, importance="reconstruction").rehearse(small.small_model(), ctx)


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


def test_other_inputs_are_other_data(tmp_path: Path) -> None:
    data = load_data("digits")
    digests = []
    for value in (0, 0, 1):
        np.savez(tmp_path / "more.npz", x_train=np.full((5, 8, 8), value, np.uint8))
        digests.append(load_unlabeled(data, str(tmp_path / "more.npz")).fingerprint)
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / "one.png")
        digests.append(load_unlabeled(data, str(tmp_path)).fingerprint)
    assert digests[0] == digests[2] != digests[4]
    assert digests[1] == digests[3] != digests[5]
    parts = [with_unlabeled(data, Subset(data.test, torch.arange(start, 50)), "x").fingerprint for start in (0, 1)]
    assert parts[0] != parts[1]


def test_texts_of_both_splits_are_padded_to_the_longest() -> None:
    data = small_texts.sentence_data(small_texts.encoder("roberta"))
    joined = Joined(Subset(data.train, torch.tensor([0, 1])), Bare(data.test))
    lengths = joined.lengths
    assert lengths is not None and len(lengths) == len(joined) == 34
    order = torch.tensor([33, 0, 5, 1])
    ids, mask = joined.fetch(order)
    assert mask.sum(1).tolist() == lengths[order].tolist() and ids.shape[1] == int(lengths[order].max())
    alone = [joined.fetch(place[None])[0][0] for place in order]
    for row, own in zip(ids, alone, strict=True):
        assert torch.equal(row[: len(own)], own)
    again = joined.with_tokenizer(small_texts.encoder("bert").info.tokenizer)  # type: ignore[arg-type]
    assert len(again.fetch(order)) == 3 and again.labels[2] == UNLABELED


def test_a_table_of_texts_without_labels(tmp_path: Path) -> None:
    data = small_texts.sentence_data(small_texts.encoder())
    rows = [{"id": place, "text": row["text"]} for place, row in enumerate(encoders.sentences(20, 9))]
    path = encoders.write_rows(tmp_path / "more.jsonl", rows)
    joined = load_unlabeled(data, str(path))
    assert joined.unlabeled == 20 and len(joined.train) == len(data.train) + 20
    last = joined.batch("train", torch.tensor([len(joined.train) - 1]))
    assert data.tokenizer is not None
    assert last.inputs[0][0].tolist() == engine(data.tokenizer).encode(rows[-1]["text"]).ids
    assert sum(len(batch.labels) for batch in joined.training_batches(8, 0, 0)) == len(joined.train) // 8 * 8
    changed = encoders.write_rows(tmp_path / "more.jsonl", [*rows[:-1], {"id": 0, "text": "else"}])
    assert load_unlabeled(data, str(changed)).fingerprint != joined.fingerprint
    with pytest.raises(DataError, match="no column 'review'"):
        load_unlabeled(data, str(path), {"text": "review"})
    for name in ("none.jsonl", "."):
        with pytest.raises(DataError, match="no file"):
            load_unlabeled(data, str(tmp_path / "images" / name))
    with pytest.raises(DataError, match="texts need a tokenizer"):
        load_unlabeled(load_data("digits"), str(path))


def test_pairs_that_are_read_apart_join_with_pairs_and_with_single_texts(tmp_path: Path) -> None:
    spec = small_texts.encoder().info.tokenizer
    assert spec is not None
    columns = {"text": "one", "pair": "other"}
    path = encoders.write_rows(tmp_path / "train.jsonl", encoders.alike(40, 1))
    data = load_data(str(path), args={**columns, "target": "alike"}).seen_by(spec.model_copy(update={"apart": True}))
    single = encoders.write_rows(tmp_path / "single.jsonl", [{"one": "a film"}, {"one": "what a long , long story"}])
    joined = load_unlabeled(load_unlabeled(data, str(path), columns), str(single), columns)
    assert joined.unlabeled == 40 + 1 and len(joined.train) == len(data.train) + 41
    last, first = len(joined.train) - 1, 0
    ids, mask, _ = joined.train.fetch(torch.tensor([last, first]))
    assert ids.shape[:2] == (2, 2) and ids.shape[2] == int(joined.train.lengths[[last, first]].max())  # type: ignore[attr-defined]
    assert ids[0, 0].tolist()[: int(mask[0, 0].sum())] == engine(spec).encode("a film").ids
    assert torch.equal(ids[1, :, : int(mask[1].sum(dim=1).max())], data.train.fetch(torch.tensor([0]))[0][0])
    assert bool(joined.train.labels[-41:].isnan().all())
