"""Quotes in CSV and TSV: no row is swallowed without a word."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor.data.delimited import delimited_rows
from compressor.errors import DataError

TSV, CSV = Path("a.tsv"), Path("a.csv")


def test_a_lone_quote_in_a_tsv_is_text() -> None:
    rows = list(delimited_rows(TSV, 'label\ttext\n1\t"hello\n0\tbye\n1\tend"\n0\t"a ""b"""\n'))
    assert [row["text"] for row in rows] == ['"hello', "bye", 'end"', 'a "b"']


def test_a_quoted_field_of_a_tsv_may_hold_tabs_and_lines() -> None:
    assert list(delimited_rows(TSV, 'label\ttext\n1\t"one\ttwo\nthree"\n')) == [
        {"label": "1", "text": "one\ttwo\nthree"}
    ]


def test_a_quote_of_a_csv_that_does_not_end() -> None:
    assert len(list(delimited_rows(CSV, 'label,text\n1,"hello\nyou, there"\n0,good\n'))) == 2
    with pytest.raises(DataError, match=r"a\.csv is not CSV: unexpected end of data, line 3"):
        list(delimited_rows(CSV, 'label,text\n1,"hello\n0,bye\n'))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_says_what_stands_between_fields(delimiter: str) -> None:
    text = (
        f"label{delimiter}text\r\n1{delimiter}good, here\r\n"
        if delimiter != ","
        else 'label,text\r\n1,"good, here"\r\n'
    )
    assert list(delimited_rows(CSV, text)) == [{"label": "1", "text": "good, here"}]


def test_two_columns_of_one_name() -> None:
    with pytest.raises(DataError, match="two columns 'a'"):
        list(delimited_rows(CSV, "a,a\n1,2\n"))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='ab",;\t\n\r|\0é'), st.sampled_from([CSV, TSV]))
def test_any_text_is_rows_or_an_error_that_names_the_file(text: str, path: Path) -> None:
    try:
        for row in delimited_rows(path, text):
            assert all(isinstance(name, str) for name in row)
    except DataError as error:
        assert path.name in error.message  # noqa: PT017
