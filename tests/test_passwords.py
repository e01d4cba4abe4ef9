"""What is left of an address once nobody could log in with it."""

import pytest

from compressor.passwords import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://me:se:cr@et/x@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        (
            "compress search --storage=postgresql://:secret@host m.pt",
            "compress search --storage=postgresql://:***@host m.pt",
        ),
        ("'postgresql://me:sec$ret@host/db?sslmode=require'", "'postgresql://me:***@host/db?sslmode=require'"),
        ("postgresql://host/db?user=me&password=secret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("sqlite:///trials.db", "sqlite:///trials.db"),
        ("a:b and FILE@0.5", "a:b and FILE@0.5"),
    ],
)
def test_no_password_is_left(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown
