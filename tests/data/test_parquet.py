"""Parquet that holds what Python can't, or too much."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from compressor.data import parquet as reader
from compressor.data.parquet import parquet_rows
from compressor.errors import DataError


def written(path: Path, **columns: pa.Array) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", text=pa.array(["a", None]), label=pa.array([1, 2]))
    assert list(parquet_rows(path)) == [{"text": "a", "label": 1}, {"text": None, "label": 2}]


@pytest.mark.parametrize(
    "column",
    [
        pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]),
        pa.array([2**62]).cast(pa.timestamp("us")),
    ],
)
def test_what_python_can_not_hold(tmp_path: Path, column: pa.Array) -> None:
    with pytest.raises(DataError, match=r"a\.parquet can't be read as Parquet"):
        list(parquet_rows(written(tmp_path / "a.parquet", text=column)))


def test_more_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.parquet", text=pa.array(["x" * 1000] * 1000))
    monkeypatch.setattr("compressor.memory.memory_limit", lambda: 1_000_000)
    with pytest.raises(DataError, match=r"a\.parquet, unpacked, would take"):
        list(parquet_rows(path))
    monkeypatch.setattr(reader, "MOST_ROWS", 10)
    with pytest.raises(DataError, match="has 1000 rows, wanted at most 10"):
        list(parquet_rows(path))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_an_error_that_names_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = written(tmp_path_factory.mktemp("p") / "a.parquet", text=pa.array(["a", "b"]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        list(parquet_rows(path))
    except DataError as error:
        assert "a.parquet" in error.message  # noqa: PT017
