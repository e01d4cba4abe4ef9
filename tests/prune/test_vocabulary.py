"""Trimmed vocabularies spell what they spelled before, number it anew, and transformers reads them."""

import itertools
import json
from pathlib import Path
from typing import Any

import encoders
import pytest
import small_texts
import torch

from compressor.data.tokenizer import engine
from compressor.errors import PlanError
from compressor.export.huggingface import write_configuration
from compressor.factories.text_network import changed
from compressor.models import TokenizerSpec
from compressor.prune.vocabulary import renumbered_ids, token_counts, tokens_to_keep, trim, trim_embedding

SEEN = [row["text"] for row in encoders.sentences(40, 5) if "cast" not in row["text"]]
UNSEEN = ["casting", "the cast and its dialogue", "abcdefghijklmnopqrstuvwxyz", "", "x", "!?'", "delightfully"]
STRANGE = ["漢字 film", "\U0001f600", "Ünïcödé"]
KINDS = pytest.mark.parametrize("kind", ["bert", "roberta", "albert"])


def spec_of(kind: str) -> TokenizerSpec:
    spec = small_texts.encoder(kind).info.tokenizer
    assert spec is not None
    return spec


def ids_of(spec: TokenizerSpec, text: str) -> list[int]:
    ids: list[int] = engine(spec).encode(text).ids
    return ids


def pieces(spec: TokenizerSpec, text: str) -> list[str]:
    found: list[str] = engine(spec).encode(text).tokens
    return found


def counts_of(spec: TokenizerSpec, texts: list[str]) -> torch.Tensor:
    return token_counts(spec, torch.tensor(list(itertools.chain.from_iterable(ids_of(spec, text) for text in texts))))


def trimmed(spec: TokenizerSpec, min_count: int = 1) -> tuple[TokenizerSpec, torch.Tensor]:
    kept = tokens_to_keep(spec, counts_of(spec, SEEN), min_count)
    return trim(spec, kept), kept


def test_counts_are_of_the_whole_vocabulary() -> None:
    spec = spec_of("bert")
    counts = counts_of(spec, ["the the film"])
    assert len(counts) == engine(spec).get_vocab_size() == 120
    assert counts[engine(spec).token_to_id("the")] == 2 and int(counts.sum()) == 5


@KINDS
def test_texts_of_the_data_keep_their_pieces(kind: str) -> None:
    spec = spec_of(kind)
    smaller, kept = trimmed(spec)
    assert 30 < len(kept) < engine(spec).get_vocab_size()
    assert engine(smaller).get_vocab_size() == len(kept)
    for text in SEEN:
        assert pieces(smaller, text) == pieces(spec, text)
        assert kept[ids_of(smaller, text)].tolist() == ids_of(spec, text)


@KINDS
@pytest.mark.parametrize("min_count", [1, 3, 1000])
def test_whatever_could_be_spelled_can_be_spelled(kind: str, min_count: int) -> None:
    spec = spec_of(kind)
    smaller, _ = trimmed(spec, min_count)
    unknown = {"bert": "[UNK]", "roberta": "<unk>", "albert": "[UNK]"}[kind]
    words = [name.strip("▁Ġ#") for name in engine(spec).get_vocab()]
    for text in [*SEEN, *UNSEEN, *STRANGE, *(word for word in words if word.isalpha())]:
        before, after = (pieces(each, text).count(unknown) for each in (spec, smaller))
        assert after == before, text
        if not before:
            decoded = [engine(each).decode(ids_of(each, text)).replace(" ", "") for each in (spec, smaller)]
            assert decoded[0] == decoded[1]


@KINDS
def test_rarer_tokens_go_first(kind: str) -> None:
    spec = spec_of(kind)
    sizes = [len(trimmed(spec, count)[1]) for count in (1, 3, 1000)]
    assert sizes[0] > sizes[1] > sizes[2]


@KINDS
def test_transformers_reads_it(kind: str, tmp_path: Path) -> None:
    import transformers

    model = small_texts.encoder(kind)
    assert model.info.tokenizer is not None and model.info.factory is not None
    smaller, kept = trimmed(model.info.tokenizer)
    config = model.info.factory.arguments["config"]
    ref = changed(model.info.factory, **renumbered_ids(config, kept))
    write_configuration(model.info.model_copy(update={"factory": ref, "tokenizer": smaller}), tmp_path)
    theirs: Any = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in [*SEEN[:5], *UNSEEN, *STRANGE]:
        assert theirs(text)["input_ids"] == ids_of(smaller, text)
    assert len(theirs) == len(kept)
    assert theirs.pad_token_id == smaller.pad_id == json.loads((tmp_path / "config.json").read_text())["pad_token_id"]
    assert theirs.decode(theirs("what a funny film")["input_ids"], skip_special_tokens=True) == "what a funny film"
    theirs.save_pretrained(tmp_path / "again")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert again("the cast")["input_ids"] == theirs("the cast")["input_ids"]


@pytest.mark.parametrize("kind", [*small_texts.KINDS, *small_texts.DECODERS])
def test_the_network_answers_as_before(kind: str) -> None:
    model = small_texts.encoder(kind)
    assert model.info.tokenizer is not None
    data = small_texts.sentence_data()
    texts = data.seen_by(model.info.tokenizer).batch("train", torch.arange(8))
    before = small_texts.answers(model, texts.inputs)
    kept = tokens_to_keep(model.info.tokenizer, token_counts(model.info.tokenizer, texts.inputs[0].flatten()), 1)
    smaller = trim(model.info.tokenizer, kept)
    trim_embedding(model.module, kept, smaller.pad_id)
    table = model.module.network.get_input_embeddings()  # type: ignore[union-attr, operator]
    assert table.weight.shape[0] == table.num_embeddings == len(kept) < engine(model.info.tokenizer).get_vocab_size()
    inputs = data.seen_by(smaller).batch("train", torch.arange(8)).inputs
    assert not torch.equal(inputs[0], texts.inputs[0])
    assert torch.equal(small_texts.answers(model, inputs), before)


def test_a_decoder_finds_the_last_token_by_the_padding_s_new_id() -> None:
    model = small_texts.encoder("llama", pad_token_id=7)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    before = small_texts.answers(model, (torch.tensor([[9, 12, 7, 7], [5, 12, 9, 5]]), mask))
    trim_embedding(model.module, torch.tensor([5, 7, 9, 12]), 1)
    assert torch.equal(small_texts.answers(model, (torch.tensor([[2, 3, 1, 1], [0, 3, 2, 0]]), mask)), before)


def test_a_token_that_the_table_has_no_row_for_is_named() -> None:
    model = small_texts.encoder("bert")
    with pytest.raises(PlanError, match="token 999 has no row among the 120 of the network's table"):
        trim_embedding(model.module, torch.tensor([0, 999]), 0)


def bpe(merges: list[tuple[str, str]], words: list[str]) -> TokenizerSpec:
    names = ["<pad>", *"abcdx", *words]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
        | {"pad_type_id": 0, "pad_token": "<pad>"},
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": {name: place for place, name in enumerate(names)}, "merges": merges},
    }
    return TokenizerSpec(content=json.dumps(content))


def test_every_way_to_a_merged_token_stays() -> None:
    """In "abcd" the a and b must merge first, or c and d would."""
    merges = [("a", "b"), ("a", "bc"), ("ab", "c"), ("c", "d"), ("b", "c")]
    spec = bpe(merges, ["ab", "bc", "abc", "cd"])
    texts = ["abcd", "cd"]
    assert pieces(spec, "abcd") == ["abc", "d"]
    smaller = trim(spec, tokens_to_keep(spec, counts_of(spec, texts), 1))
    assert [pieces(smaller, text) for text in texts] == [pieces(spec, text) for text in texts]


def test_merges_to_tokens_that_are_gone_are_gone() -> None:
    spec = bpe([("a", "b"), ("ab", "c"), ("c", "d")], ["ab", "abc", "cd"])
    smaller = trim(spec, tokens_to_keep(spec, counts_of(spec, ["ab"]), 1))
    model = json.loads(smaller.content)["model"]
    assert model["merges"] == [["a", "b"]]
    assert list(model["vocab"]) == ["<pad>", *"abcdx", "ab"]
    assert pieces(smaller, "abcd") == ["ab", "c", "d"]


def test_padding_and_special_tokens_get_their_new_numbers() -> None:
    spec = bpe([("a", "b")], ["ab"])
    content = json.loads(spec.content)
    content["added_tokens"] = [
        {"id": 7, "content": "<end>", "special": True, "normalized": False}
        | {"single_word": False, "lstrip": False, "rstrip": False}
    ]
    content["post_processor"] = {
        "type": "Sequence",
        "processors": [
            {"type": "RobertaProcessing", "sep": ["<end>", 7], "cls": ["<pad>", 0]}
            | {"trim_offsets": True, "add_prefix_space": False},
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        ],
    }
    content["padding"]["pad_id"] = 5
    config = {"added_tokens_decoder": {"7": {"content": "<end>"}, "6": {"content": "ab"}}}
    spec = TokenizerSpec(content=json.dumps(content), pad_id=5, config=config)
    # Without "a" and "ab".
    smaller = trim(spec, torch.tensor([0, 2, 3, 4, 5, 7]))
    written = json.loads(smaller.content)
    assert written["post_processor"]["processors"][0]["sep"] == ["<end>", 5]
    assert written["post_processor"]["processors"][0]["cls"] == ["<pad>", 0]
    assert written["padding"]["pad_id"] == smaller.pad_id == 4
    assert written["added_tokens"][0]["id"] == 5
    assert smaller.config == {"added_tokens_decoder": {"5": {"content": "<end>"}}}
    assert ids_of(smaller, "b") == [0, 1, 5]


def test_ids_in_the_configuration_follow() -> None:
    kept = torch.tensor([0, 2, 5, 9])
    config = {"pad_token_id": 2, "bos_token_id": 9, "eos_token_id": 3, "sep_token_id": None, "vocab_size": 10}
    assert renumbered_ids(config, kept) == {"vocab_size": 4, "pad_token_id": 1, "bos_token_id": 3}


def test_a_vocabulary_of_whole_words_is_not_trimmed() -> None:
    content = json.loads(spec_of("bert").content)
    content["model"] = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}
    with pytest.raises(PlanError, match="of type WordLevel can't be trimmed"):
        tokens_to_keep(TokenizerSpec(content=json.dumps(content)), torch.tensor([1, 1]), 1)
