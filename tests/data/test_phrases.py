"""Pieces of texts are parts of them, the same for the same seed, and have no label."""

from dataclasses import replace

import small_texts
import torch

from compressor.data.batches import Data, Subset
from compressor.data.phrases import texts_in, with_phrases
from compressor.data.texts import TextSplit
from compressor.data.unlabeled import Bare, Joined, only_labelled

TEXT = "a film of some length that says little"


def showing(split: TextSplit) -> Data:
    """Data of which these texts are the training split."""
    model = small_texts.encoder()
    spec = model.info.tokenizer
    assert spec is not None
    return replace(small_texts.sentence_data(model), train=split.with_tokenizer(spec))


def texts_of(split: object) -> tuple[object, ...]:
    found = texts_in(split)  # type: ignore[arg-type]
    assert found is not None
    return found.texts


def test_pieces_join_the_training_texts_without_labels() -> None:
    model = small_texts.encoder()
    data = small_texts.sentence_data(model)
    more = with_phrases(data, 2, seed=0)
    count = len(data.train)
    assert len(more.train) == 3 * count and more.unlabeled == 2 * count
    assert more.fingerprint != data.fingerprint
    assert more.validation is data.validation and more.test is data.test
    texts = texts_of(more.train)
    assert texts[:count] == texts_of(data.train)
    for place, piece in enumerate(texts[count:]):
        whole = texts[place % count]
        assert isinstance(piece, str) and isinstance(whole, str)
        assert f" {piece} " in f" {' '.join(whole.split())} "
        assert 1 <= len(piece.split()) < len(whole.split())
    assert len(only_labelled(more).train) == 3 * count and not only_labelled(more).unlabeled


def test_the_seed_alone_says_where_texts_are_cut() -> None:
    data = small_texts.sentence_data(small_texts.encoder())
    first, again, other = (with_phrases(data, 1, seed) for seed in (3, 3, 4))
    assert texts_of(first.train) == texts_of(again.train) and first.fingerprint == again.fingerprint
    assert texts_of(first.train) != texts_of(other.train) and first.fingerprint != other.fingerprint


def test_every_length_and_place_occurs() -> None:
    words = TEXT.split()
    one = showing(TextSplit((TEXT, "word", ""), torch.tensor([1, 0, 0])))
    pieces = texts_of(with_phrases(one, 400, seed=0).train)[3:]
    assert set(pieces[1::3]) == {"word"} and set(pieces[2::3]) == {""}
    spans = {" ".join(words[begin:end]) for begin in range(len(words)) for end in range(begin + 1, len(words) + 1)} - {
        TEXT
    }
    assert set(pieces[::3]) == spans


def test_texts_of_a_pair_are_cut_each_and_words_stay_words() -> None:
    pair = TextSplit(("one two three",), torch.tensor([1]), ("four five",))
    cut = texts_in(with_phrases(showing(pair), 5, seed=0).train)
    assert cut is not None and cut.pairs is not None
    assert all(piece in "one two three" for piece in map(str, cut.texts[1:]))
    assert set(cut.pairs[1:]) == {"four", "five"}
    words = TextSplit((("one", "two", "three"), ("four",)), torch.tensor([[0, 1, 0], [1, -100, -100]]))
    more = with_phrases(showing(words), 1, seed=0)
    assert more.train.labels.shape[0] == 4 and more.unlabeled == 2
    assert texts_of(more.train)[3] == ("four",)


def test_texts_are_found_through_every_kind_of_split() -> None:
    split = TextSplit(("a", "b", "c"), torch.zeros(3, dtype=torch.int64))
    some = Subset(split, torch.tensor([2, 0]))
    assert texts_of(Joined(some, Bare(split))) == ("c", "a", "a", "b", "c")


def test_images_have_no_phrases() -> None:
    from compressor.data.load import load_data

    data = load_data("digits", seed=0)
    assert with_phrases(data, 2, seed=0) is data
