"""Words with tags: what is read, where each word begins, and rows that are refused by number."""

from pathlib import Path
from typing import Any

import encoders
import pytest
import torch

from compressor.data import Data
from compressor.data.labels import IGNORED
from compressor.data.lengths import places_of
from compressor.data.load import load_data, shorten
from compressor.data.unlabeled import load_unlabeled, only_labelled
from compressor.errors import DataError
from compressor.loading import load_file
from compressor.models import TokenizerSpec

COLUMNS = {"tokens": "words", "tags": "tags"}


def tokens_of(folder: Path, kind: str = "bert") -> TokenizerSpec:
    spec = load_file(encoders.encoder_folder(folder / kind, kind, task="token-classification")).info.tokenizer
    assert spec is not None
    return spec


def read(folder: Path, *rows: dict[str, Any], **more: Any) -> Data:
    path = encoders.write_rows(folder / "train.jsonl", [*encoders.tagged(30), *rows])
    return load_data(str(path), args=COLUMNS, **more)


def test_labels_are_of_words_and_filled_up(tmp_path: Path) -> None:
    encoders.tagged_folder(tmp_path)
    data = load_data(str(tmp_path), args=COLUMNS)
    assert data.classes == encoders.TAGS
    for row, labels in zip(encoders.tagged(64, 2), data.test.labels, strict=True):
        count = len(row["words"])
        assert [data.classes[label] for label in labels[:count]] == row["tags"]
        assert set(labels[count:].tolist()) <= {IGNORED}
    assert data.unlabeled == 0 and len(shorten(data, 20, 10).train) == 20


def test_names_and_numbers_are_put_in_the_models_order(tmp_path: Path) -> None:
    names = tuple(reversed(encoders.TAGS))
    assert read(tmp_path, classes=names).classes == names
    rows = [{"words": ["a", "b"], "tags": [0, place % 5]} for place in range(40)]
    path = encoders.write_rows(tmp_path / "numbers.jsonl", rows)
    assert load_data(str(path), args=COLUMNS, classes=names).classes == names
    assert load_data(str(path), args=COLUMNS).classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("kind", ["bert", "roberta", "albert"])
def test_a_word_begins_at_its_first_token(kind: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    encoders.tagged_folder(tmp_path / "data")
    spec = tokens_of(tmp_path, kind)
    data = load_data(str(tmp_path / "data"), args=COLUMNS).seen_by(spec)
    made = Tokenizer.from_str(spec.content)
    batch = data.batch("test", torch.arange(8))
    assert batch.places is not None and batch.places.shape == batch.labels.shape
    for number, row in enumerate(encoders.tagged(8, 2)):
        for word, place in enumerate(batch.places[number].tolist()):
            if word >= len(row["words"]):
                assert place == -1
                continue
            pieces = made.encode(row["words"][word : word + 1], is_pretokenized=True, add_special_tokens=False).ids
            assert batch.inputs[0][number, place : place + len(pieces)].tolist() == pieces
    trained = next(data.training_batches(8, 0, 0))
    assert trained.places is not None and torch.equal(trained.places, places_of(data.train)[trained.indices])  # type: ignore[index]


def test_roberta_reads_split_words_as_within_a_text(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(tokens_of(tmp_path, "roberta").content)
    assert made.encode(["film"], is_pretokenized=True).tokens[1].startswith("Ġ")


def test_words_that_are_cut_off_have_no_place(tmp_path: Path) -> None:
    spec = tokens_of(tmp_path).model_copy(update={"max_length": 6})
    data = read(tmp_path).seen_by(spec)
    places = places_of(data.train)
    assert places is not None
    there = data.train.labels != IGNORED
    assert bool((places[there] == -1).any()) and int(places.max()) == 4


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"words": "a b", "tags": ["O", "O"]}, "row 31: words is 'a b', wanted words"),
        ({"words": ["a", 1], "tags": ["O", "O"]}, r"row 31: words is \['a', 1\], wanted words"),
        ({"words": [], "tags": []}, "row 31: words is empty"),
        ({"words": ["a", "b"], "tags": "O O"}, "row 31: tags is 'O O', wanted a tag for each word"),
        ({"words": ["a", "b"], "tags": ["O"]}, "row 31: 2 words and 1 tags"),
    ],
)
def test_rows_that_are_wrong(row: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, row)


def test_a_tag_that_train_has_not_is_named(tmp_path: Path) -> None:
    encoders.tagged_folder(tmp_path)
    encoders.write_rows(tmp_path / "test.jsonl", [{"words": ["a"], "tags": ["B-X"]}])
    with pytest.raises(DataError, match=r"test\.jsonl, row 1: tag 'B-X' is not one of the training data's: B-BAD"):
        load_data(str(tmp_path), args=COLUMNS)


@pytest.mark.parametrize("args", [{"tokens": "words"}, {"tags": "tags"}, {**COLUMNS, "text": "words"}])
def test_both_columns_belong_together(args: dict[str, str], tmp_path: Path) -> None:
    encoders.tagged_folder(tmp_path)
    with pytest.raises(DataError, match="belong together and to nothing else"):
        load_data(str(tmp_path), args=args)


def test_one_tag_alone_teaches_nothing(tmp_path: Path) -> None:
    path = encoders.write_rows(tmp_path / "train.jsonl", [{"words": ["a"], "tags": ["O"]}] * 20)
    with pytest.raises(DataError, match="one tag only, 'O'"):
        load_data(str(path), args=COLUMNS)


def test_words_without_tags_join(tmp_path: Path) -> None:
    data = read(tmp_path / "data").seen_by(tokens_of(tmp_path))
    rows = [{"words": row["words"] * 2} for row in encoders.tagged(10, 7)]
    more = encoders.write_rows(tmp_path / "more.jsonl", rows)
    joined = load_unlabeled(data, str(more), {"tokens": "words"})
    assert joined.unlabeled == 10 and only_labelled(joined).unlabeled == 0
    batch = joined.batch("train", torch.arange(len(data.train) - 4, len(data.train) + 4))
    assert batch.places is not None and batch.places.shape == batch.labels.shape
    encoders.write_rows(tmp_path / "texts.jsonl", encoders.sentences(10))
    with pytest.raises(DataError, match=r"has texts, .* has lists of words"):
        load_unlabeled(data, str(tmp_path / "texts.jsonl"), {"text": "text"})
