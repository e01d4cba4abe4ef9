"""Vocabularies made from data: every symbol has a number, and comes back from it."""

import pytest

from compressor.data.symbols import special_id, symbol_tokenizer, texts_of, unknown_symbols
from compressor.data.tokenizer import tokenize
from compressor.errors import DataError, ModelFileError
from compressor.models import TokenizerSpec

PHONES = ("K AE1 T", "K AA1 R", "AE1 T")


def ids(spec: TokenizerSpec, text: str) -> list[int]:
    tokens: list[int] = tokenize(spec, [text]).ids.tolist()
    return tokens


def test_words_are_numbered_by_how_often_they_stand_there() -> None:
    spec = symbol_tokenizer(PHONES, "words", 8)
    # AE1, K and T twice, in the order of their characters, then AA1 and R.
    assert ids(spec, "K AE1 T") == [5, 4, 6, 2]
    assert ids(spec, "R AA1") == [8, 7, 2]
    assert ids(spec, "K ZH K") == [5, 3, 5, 2]


def test_characters_are_symbols_spaces_among_them() -> None:
    spec = symbol_tokenizer(("new york", "ω-é\n"), "characters", 20)
    assert len(ids(spec, "new york")) == 9
    assert texts_of(spec, [ids(spec, "w y\nωé")]) == ["w y\nωé"]


@pytest.mark.parametrize("symbols", ["words", "characters"])
def test_what_was_written_is_read_back(symbols: str) -> None:
    spec = symbol_tokenizer(PHONES, symbols, 20)  # type: ignore[arg-type]
    assert texts_of(spec, [ids(spec, text) for text in PHONES]) == list(PHONES)
    assert texts_of(spec, [[], [2], [1, 0, 0]]) == ["", "", ""]


def test_long_sequences_are_cut_before_their_end() -> None:
    assert ids(symbol_tokenizer(("abcdef",), "characters", 4), "abcdef") == [4, 5, 6, 2]


def test_unknown_symbols_are_counted() -> None:
    spec = symbol_tokenizer(PHONES, "words", 8)
    assert unknown_symbols(spec, ["K ZH T ZH", "OY2", "K"]) == {"ZH": 2, "OY2": 1}


def test_special_tokens_are_found_by_what_they_are_for() -> None:
    spec = symbol_tokenizer(PHONES, "words", 8)
    found = [special_id(spec, role, "here") for role in ("pad_token", "bos_token", "eos_token", "unk_token")]
    assert found == [0, 1, 2, 3] and spec.pad_id == 0
    older = spec.model_copy(update={"config": {"eos_token": {"content": "</s>", "lstrip": False}}})
    assert special_id(older, "eos_token", "here") == 2
    for config in ({}, {"eos_token": "<end>"}, {"eos_token": None}, {"eos_token": 7}):
        with pytest.raises(ModelFileError, match="here: its tokenizer has no eos_token"):
            special_id(spec.model_copy(update={"config": config}), "eos_token", "here")


def test_texts_without_symbols_are_refused() -> None:
    with pytest.raises(DataError, match="no symbol"):
        symbol_tokenizer(("", "  "), "words", 8)
    with pytest.raises(DataError, match="the symbol '<s>'"):
        symbol_tokenizer(("a <s>",), "words", 8)
