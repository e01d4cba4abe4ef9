import os
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from compressor.errors import DataError, InputError, ModelFileError
from compressor.reading import as_record, parse_json, read_bytes, read_json, read_record, read_text


class Small(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int
    names: list[str] = []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deep"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number out of range"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' stands there twice"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b'{"a": "\xe9"}', "not UTF-8 at byte 7"),
        (b'{"a": 1', "not JSON"),
        (b"", "not JSON"),
        (b"[1]", "is a list, not an object"),
        (b"null", "is null, not an object"),
        (b'"x"', "is a str, not an object"),
    ],
)
def test_what_is_no_object_names_the_file(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "given.json"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=reason) as raised:
        read_json(path, dict, "copy it again", ModelFileError)
    assert str(path) in raised.value.message and raised.value.hint == "copy it again"
    assert len(raised.value.message) < 400


def test_too_many_values_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressor.reading.MOST_VALUES", 100)
    assert len(parse_json("[" + "[]," * 40 + "[]]", list, "given")) == 41
    with pytest.raises(InputError, match="more than"):
        parse_json("[" + "[]," * 101 + "[]]", list, "given")


def test_a_mark_of_utf8_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    path.write_bytes(b"\xef\xbb\xbf" + '{"é": [1, 2.5, null, true]}'.encode())
    assert read_json(path, dict) == {"é": [1, 2.5, None, True]}


def test_nan_is_taken_where_python_wrote_it() -> None:
    assert parse_json("[Infinity]", list, "given", nan=True) == [float("inf")]


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "loop", "large", "long", "nul"])
def test_what_is_no_file_is_said(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "given"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            # Reading it would wait for a writer for ever.
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)
        case "large":
            with path.open("wb") as file:
                file.truncate(200 * 10**6)
        case "long":
            path = tmp_path / ("x" * 5000)
        case "nul":
            path = tmp_path / "x\0y"
    with pytest.raises(DataError) as raised:
        read_bytes(path, "another file", DataError)
    assert str(path) in raised.value.message
    with pytest.raises(DataError):
        read_text(path, "another file", DataError)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"count": []}', "count: got \\[\\], wanted"),
        ('{"count": null}', "count: got None"),
        ('{"count": 1, "names": {}}', "names: got"),
        ("{}", "count: missing"),
        ('{"count": 1, "other": 2}', "no setting 'other'"),
    ],
)
def test_a_record_says_which_entry_is_wrong(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(InputError, match=reason) as raised:
        read_record(path, Small)
    assert str(path) in raised.value.message


def test_a_wrong_entry_of_any_size_is_said_shortly() -> None:
    with pytest.raises(InputError) as raised:
        as_record(Small, {"count": "x" * 10**6, "names": [[[[[[1]]]]]] * 10**4}, "given")
    assert len(raised.value.message) < 1000
    assert "more)" in raised.value.message
