"""Tables of texts in four formats, columns by name or by guess, and every fault with its file and row."""

import csv
from pathlib import Path
from typing import Any

import encoders
import pytest
import torch

from compressor.data import Data
from compressor.data.load import load_data
from compressor.data.rows import rows_of
from compressor.data.tables import is_table, text_table, texts_alone
from compressor.data.texts import TextSplit
from compressor.errors import DataError

ROWS = [{"text": f'text, "{number}"\nof two lines', "label": "good" if number % 3 else "bad"} for number in range(30)]


def write_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path, classes: tuple[str, ...] = (), **args: Any) -> Data:
    return text_table(path, args, classes, seed=0)


def texts_of(data: Data) -> TextSplit:
    """All rows of the train file, those that were held out of it too."""
    split: Any = data.train
    while not isinstance(split, TextSplit):
        split = split.parent
    return split


def test_every_format_gives_the_same_texts(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    files = [
        write_csv(tmp_path / "a.csv", ROWS),
        write_csv(tmp_path / "bom.csv", ROWS, encoding="utf-8-sig"),
        write_csv(tmp_path / "a.tsv", ROWS, "\t"),
        encoders.write_rows(tmp_path / "a.jsonl", ROWS),
        tmp_path / "a.parquet",
    ]
    found = [read(file) for file in files]
    for data in found:
        assert texts_of(data).texts == tuple(row["text"] for row in ROWS)
        assert texts_of(data).labels.tolist() == [int(row["label"] == "good") for row in ROWS]
        assert data.classes == ("bad", "good")
        assert data.fingerprint == found[0].fingerprint
        assert len(data.train) + len(data.validation) + len(data.test) == 30


def test_a_folder_of_tables(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ROWS)
    encoders.write_rows(tmp_path / "dev.jsonl", ROWS[:7])
    write_csv(tmp_path / "test.tsv", ROWS[:9], "\t")
    assert is_table(tmp_path) and not is_table(tmp_path / "train.csv" / "x")
    data = load_data(str(tmp_path))
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 7, 9)
    assert "text is the column 'text'" in data.notes
    (tmp_path / "train.csv").unlink()
    with pytest.raises(DataError, match="has no train file"):
        read(tmp_path)


def test_columns_by_name_and_by_guess(tmp_path: Path) -> None:
    rows = [{"review": f"r{n}", "answer": f"a{n}", "stars": 1 + n % 2, "helpful": n / 10} for n in range(20)]
    path = encoders.write_rows(tmp_path / "a.jsonl", rows)
    guessed = read(path)
    assert texts_of(guessed).texts[3] == "r3" and guessed.classes == ("1", "2")
    pairs = texts_of(read(path, text="answer", pair="review", label="stars"))
    assert (pairs.texts[3], pairs.pairs and pairs.pairs[3]) == ("a3", "r3")
    values = read(path, target="helpful")
    assert values.classes == () and values.train.labels.dtype == torch.float32
    assert texts_of(values).labels[4] == pytest.approx(0.4)
    for args, words in (
        ({"text": "revew"}, "no column 'revew'; did you mean 'review'"),
        ({"pair": "question"}, "no column 'question'; it has: review, answer, stars, helpful"),
        ({"label": "stars", "target": "helpful"}, "exclude one another"),
        ({"txt": "review"}, "takes no --data-arg 'txt'; did you mean 'text'"),
        ({"text": "helpful"}, "row 1: helpful is 0.0, wanted text"),
        ({"target": "answer"}, "row 1: answer is 'a0', wanted a number"),
    ):
        with pytest.raises(DataError, match=words):
            read(path, **args)
    with pytest.raises(DataError, match=r"which column .* is the label\? It has: words, kind"):
        read(encoders.write_rows(tmp_path / "b.jsonl", [{"words": "a", "kind": "b"}]), text="words")


def test_labels_are_in_the_model_s_order_where_it_names_them(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS)
    assert read(path, ("good", "bad")).classes == ("good", "bad")
    assert texts_of(read(path, ("good", "bad"))).labels.tolist() == [int(row["label"] == "bad") for row in ROWS]
    assert read(path, ("LABEL_0", "LABEL_1")).classes == ("bad", "good")
    numbers = encoders.write_rows(tmp_path / "n.jsonl", [{"text": "t", "label": n % 11} for n in range(44)])
    assert read(numbers).classes == tuple(map(str, range(11))), "by size, not by spelling"
    named = tuple("abcdefghijk")
    assert read(numbers, named).classes == named
    assert texts_of(read(numbers, named)).labels.tolist() == [n % 11 for n in range(44)]
    floats = encoders.write_rows(tmp_path / "f.jsonl", [{"text": "t", "label": float(n % 2)} for n in range(20)])
    assert read(floats).classes == ("0", "1")


def test_the_fingerprint_follows_texts_labels_and_splits(tmp_path: Path) -> None:
    changed = [{**ROWS[0], "text": "another"}, *ROWS[1:]]
    relabelled = [{**ROWS[0], "label": "good"}, *ROWS[1:]]
    digests = {read(write_csv(tmp_path / "a.csv", rows)).fingerprint for rows in (ROWS, changed, relabelled)}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"text": "a", "label": 1}\n\n{"text": \n', r"a\.jsonl, line 3 is not JSON"),
        ("a.jsonl", b'["a", 1]\n', r"a\.jsonl, line 1 is a list, not an object"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"text": "b"}\n', r"a\.jsonl, row 2: no label"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"label": 1}\n', r"a\.jsonl, row 2: no text"),
        ("a.jsonl", b"\n\n", "has no rows"),
        ("a.csv", b"text,label\n", "has no rows"),
        ("a.csv", b"", "has no rows"),
        ("a.csv", b"text,label\na,b\nno quotes, here,good\n", r"a\.csv, row 2 has more fields than the header"),
        ("a.csv", b"text,label\na\n", r"a\.csv, row 1: no label"),
        ("a.csv", b'text,label\n"a,good\n', "is not CSV"),
        ("a.csv", "text,label\nschön,good\n".encode("latin1"), r"is not UTF-8 at byte 14"),
        ("a.parquet", b"no parquet at all", "read as Parquet"),
        ("a.csv", b"text,label\na,good\nb,good\n", "one class only, 'good'"),
    ],
)
def test_faults_name_the_file_and_the_row(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read(tmp_path / name)
    with pytest.raises(DataError, match=r"no file .*none\.csv"):
        read(tmp_path / "none.csv")


def test_a_label_that_training_never_saw(tmp_path: Path) -> None:
    encoders.write_rows(tmp_path / "train.jsonl", ROWS)
    encoders.write_rows(tmp_path / "test.jsonl", [*ROWS[:2], {"text": "?", "label": "undecided"}])
    with pytest.raises(DataError, match=r"test\.jsonl, row 3: label 'undecided' is not one of .*: bad, good"):
        read(tmp_path)


def test_an_empty_text_is_one(tmp_path: Path) -> None:
    data = read(write_csv(tmp_path / "a.csv", [{**ROWS[0], "text": ""}, *ROWS[1:]]))
    assert texts_of(data).texts[0] == ""


def test_texts_alone_need_no_labels(tmp_path: Path) -> None:
    rows = [{"sentence": "a", "other": "b"}, {"sentence": "c", "other": "d"}]
    path = encoders.write_rows(tmp_path / "train.jsonl", rows)
    assert texts_alone(path, {}).texts == texts_alone(tmp_path, {}).texts == ("a", "c")
    pairs = texts_alone(path, {"text": "other", "pair": "sentence"})
    assert (pairs.texts, pairs.pairs, pairs.labels.tolist()) == (("b", "d"), ("a", "c"), [-1, -1])
    (tmp_path / "b.csv").write_text("")
    with pytest.raises(DataError, match="has no rows"):
        texts_alone(tmp_path / "b.csv", {})


def test_single_texts_alone_are_paired_where_pairs_are_read_apart(tmp_path: Path) -> None:
    path = encoders.write_rows(tmp_path / "single.jsonl", [{"one": "a"}, {"one": "b"}, {"one": "c"}])
    single = texts_alone(path, {"text": "one", "pair": "other"}, apart=True)
    assert (single.texts, single.pairs) == (("a", "c"), ("b", "a"))
    both = encoders.write_rows(tmp_path / "both.jsonl", [{"one": "a", "other": "b"}, {"one": "c", "other": "d"}])
    pairs = texts_alone(both, {"text": "one", "pair": "other"}, apart=True)
    assert (pairs.texts, pairs.pairs) == (("a", "c"), ("b", "d"))
    with pytest.raises(DataError, match="no column 'other'"):
        texts_alone(path, {"text": "one", "pair": "other"})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "text,label\na,b\n".encode("utf-16-le"), "bytes that are 0, as UTF-16 has"),
        ("a.jsonl", b'{"text": "\\ud800", "label": 1}\n', "line 1 is not JSON: unexpected end of hex escape"),
        ("a.jsonl", b'{"text": "a", "label": ' + b"[" * 100_000, "nested too deep|not JSON"),
        ("a.jsonl", b'{"text": "a", "label": ' + b"9" * 5000 + b"}\n", "not JSON|thousands|no label|digits"),
        ("a.jsonl", b'{"text": "a", "label": [1]}\n', r"row 1: label is \[1\], wanted a text or a number"),
        ("a.jsonl", b'{"text": "a", "label": NaN}\n', "row 1: label is nan"),
    ],
)
def test_tables_of_strangers(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_data(str(tmp_path / name))


def test_utf16_that_says_so_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nä,1\n".encode("utf-16"))
    assert list(rows_of(tmp_path / "a.csv")) == [{"text": "ä", "label": "1"}]
