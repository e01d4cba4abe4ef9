"""Texts to ids as transformers does it, cut where the network ends; and tokenizers that cut alike or don't."""

from pathlib import Path
from typing import Any

import encoders
import pytest
import small_texts
import torch

from compressor.data.tokenizer import Tokens, check_same_tokens, engine, tokenize
from compressor.errors import ModelFileError, PlanError
from compressor.models import TokenizerSpec
from compressor.prune.vocabulary import tokens_to_keep, trim

LONG = "wonderful story " * 100
TEXTS = ["the film is funny", "x", "", "Ünïcödé ☃ \U0001f600 漢字", LONG, " spaces\tand\nlines "]


def spec_of(kind: str = "bert") -> TokenizerSpec:
    spec = small_texts.encoder(kind).info.tokenizer
    assert spec is not None
    return spec


def ids_of(tokens: Tokens, index: int) -> list[int]:
    ids: list[int] = tokens.ids[tokens.of(index)].tolist()
    return ids


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_ids_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    import transformers

    encoders.tokenizer(kind).save_pretrained(tmp_path)
    theirs: Any = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokens = tokenize(spec_of(kind), TEXTS)
    wanted = theirs(TEXTS, truncation=True, max_length=64)
    assert [ids_of(tokens, row) for row in range(len(TEXTS))] == wanted["input_ids"]
    assert tokens.lengths.tolist() == [len(row) for row in wanted["input_ids"]]
    assert tokens.lengths[2] == 2, "an empty text is its special tokens"
    assert tokens.lengths[4] == 64


def test_pairs_are_cut_from_the_longer_and_told_apart() -> None:
    spec = spec_of()
    tokens = tokenize(spec, ["a film", LONG], [LONG, "a film"])
    first = engine(spec).encode("a film", add_special_tokens=False).ids
    assert tokens.lengths.tolist() == [64, 64]
    types = tokens.types[tokens.of(0)].tolist()
    assert types == [0] * (len(first) + 2) + [1] * (62 - len(first))
    assert ids_of(tokens, 0)[1 : 1 + len(first)] == first
    assert ids_of(tokens, 1)[-1 - len(first) : -1] == first


def test_words_that_are_split_already_are_followed_to_their_pieces() -> None:
    spec = spec_of()
    tokens = tokenize(spec, [("the", "unknownword", "film"), ("a",)])
    assert tokens.places is not None
    first, second, third = tokens.places[0].tolist()
    # Behind the first special token; the unknown word takes several pieces.
    assert (first, second) == (1, 2) and third > 3
    assert third == len(ids_of(tokens, 0)) - 2
    assert tokens.places[1].tolist() == [1, -1, -1]


def test_no_texts_at_all() -> None:
    tokens = tokenize(spec_of(), [])
    assert len(tokens.ids) == 0 and tokens.ends.tolist() == [0]


def test_what_the_file_says_of_padding_and_cutting_is_not_followed() -> None:
    made = engine(spec_of())
    made.enable_padding(length=50)
    made.enable_truncation(3)
    spec = spec_of().model_copy(update={"content": made.to_str()})
    assert torch.equal(tokenize(spec, TEXTS).ids, tokenize(spec_of(), TEXTS).ids)


def test_what_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(ModelFileError, match=r"tokenizer\.json can't be read"):
        engine(TokenizerSpec(content="{}"))


def test_a_trimmed_vocabulary_cuts_alike_and_another_kind_does_not() -> None:
    model = small_texts.encoder()
    data = small_texts.sentence_data(model)
    spec = spec_of()
    counts = data.train.parent.tokens.ids.long().bincount(minlength=200)
    trimmed = data.seen_by(trim(spec, tokens_to_keep(spec, counts, 1)))
    assert not torch.equal(
        data.batch("train", torch.arange(4)).inputs[0], trimmed.batch("train", torch.arange(4)).inputs[0]
    )
    check_same_tokens(trimmed, data)
    check_same_tokens(data, data)
    with pytest.raises(PlanError, match=r"cut text differently: in training sample 0 .*'\[CLS\]'.*'<s>'"):
        check_same_tokens(data, data.seen_by(spec_of("roberta")))
