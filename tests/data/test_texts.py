"""Texts as a network's inputs: padded to the longest of a batch, tokenized once by each tokenizer."""

import pytest
import small_texts
import torch

from compressor.data.batches import Subset
from compressor.data.texts import TextSplit
from compressor.data.tokenizer import engine
from compressor.errors import DataError
from compressor.models import TokenizerSpec

SPLIT = TextSplit(("a film", "wonderful wonderful story", ""), torch.tensor([0, 1, 0]))


def spec_of(kind: str = "bert") -> TokenizerSpec:
    spec = small_texts.encoder(kind).info.tokenizer
    assert spec is not None
    return spec


def test_a_batch_is_as_long_as_its_longest() -> None:
    spec = spec_of()
    split = SPLIT.with_tokenizer(spec)
    ids, mask, types = split.fetch(torch.tensor([1, 2, 0]))
    assert split.lengths is not None
    longest = int(split.lengths.max())
    assert ids.shape == mask.shape == types.shape == (3, longest)
    assert mask.sum(1).tolist() == split.lengths[torch.tensor([1, 2, 0])].tolist()
    assert ids[2].tolist()[: int(mask[2].sum())] == engine(spec).encode("a film").ids
    assert set(ids[mask == 0].tolist()) == {spec.pad_id}
    assert ids.dtype == mask.dtype == torch.int64
    assert split.fetch(torch.tensor([2]))[0].shape == (1, 2)


def test_inputs_come_in_the_order_that_the_network_takes() -> None:
    spec = spec_of().model_copy(update={"inputs": ("attention_mask", "input_ids")})
    mask, ids = SPLIT.with_tokenizer(spec).fetch(torch.arange(2))
    assert set(mask.unique().tolist()) == {0, 1} and int(ids.max()) > 1


def test_padding_has_the_tokenizer_s_id() -> None:
    spec = spec_of("roberta")
    assert spec.pad_id == 1
    ids, mask = SPLIT.with_tokenizer(spec).fetch(torch.arange(3))
    assert set(ids[mask == 0].tolist()) == {1}


def test_a_pair_s_second_text_has_its_own_type() -> None:
    pairs = TextSplit(("a film",), torch.tensor([0]), ("the story",)).with_tokenizer(spec_of())
    ids, _, types = pairs.fetch(torch.arange(1))
    place = ids[0].tolist().index(3) + 1
    assert types[0, :place].sum() == 0 and bool((types[0, place:] == 1).all())


def test_each_tokenizer_reads_the_texts_once() -> None:
    split = SPLIT.with_tokenizer(spec_of())
    again = split.with_tokenizer(spec_of("roberta")).with_tokenizer(spec_of())
    assert again.tokens is split.tokens
    shorter = split.with_tokenizer(spec_of().model_copy(update={"max_length": 3}))
    assert shorter.lengths is not None and int(shorter.lengths.max()) == 3


def test_raw_texts_can_be_counted_and_not_fetched() -> None:
    assert SPLIT.lengths is not None and SPLIT.lengths.tolist() == [6, 25, 0]
    with pytest.raises(DataError, match="texts need a tokenizer"):
        SPLIT.fetch(torch.arange(1))


def test_a_part_of_a_split_has_its_own_lengths() -> None:
    part = Subset(SPLIT, torch.tensor([1])).with_tokenizer(spec_of())
    assert part.lengths is not None and part.lengths.tolist() == [int(SPLIT.with_tokenizer(spec_of()).lengths[1])]
    assert part.fetch(torch.arange(1))[0].shape == (1, int(part.lengths))


def test_the_texts_of_a_pair_are_two_sequences_where_they_are_read_apart() -> None:
    spec = spec_of().model_copy(update={"apart": True})
    pairs = TextSplit(("a film", "story"), torch.tensor([0.0, 1.0]), ("the wonderful story", "film")).with_tokenizer(
        spec
    )
    assert len(pairs) == 2 and pairs.lengths is not None and pairs.lengths.tolist() == [5, 3]
    ids, mask, types = pairs.fetch(torch.tensor([1, 0]))
    assert ids.shape == (2, 2, 5) and int(types.sum()) == 0
    wanted = [
        [engine(spec).encode(text).ids for text in row]
        for row in (("story", "film"), ("a film", "the wonderful story"))
    ]
    for row in range(2):
        for text in range(2):
            assert ids[row, text].tolist()[: int(mask[row, text].sum())] == wanted[row][text]
    part = Subset(pairs, torch.tensor([1]))
    assert (
        part.lengths is not None and part.lengths.tolist() == [3] and part.fetch(torch.arange(1))[0].shape == (1, 2, 3)
    )
    # Joined to one they are as they were.
    assert pairs.with_tokenizer(spec_of()).fetch(torch.arange(2))[0].dim() == 2
    assert SPLIT.with_tokenizer(spec).fetch(torch.arange(3))[0].dim() == 2


def test_neighbours_become_pairs() -> None:
    for texts, first, second in (("abcd", "ac", "bd"), ("abc", "ac", "ba"), ("a", "a", "a")):
        pairs = TextSplit(tuple(texts), torch.zeros(len(texts))).two_by_two()
        assert (pairs.texts, pairs.pairs) == (tuple(first), tuple(second))
        assert pairs.labels.tolist() == [-1] * len(first)
