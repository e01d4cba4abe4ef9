import pytest
import small_texts
import torch

from compressor.data import Augment, Data, TensorSplit
from compressor.data.batches import Subset
from compressor.data.images import Normalise


def counted(count: int = 10) -> Data:
    """Sample i is a 4x4 image full of i."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    split = TensorSplit(images, torch.arange(count) % 2)
    return Data("counted", split, split, split, ("even", "odd"), "0" * 64)


def order_of(data: Data, seed: int, epoch: int) -> list[int]:
    return [i for batch in data.training_batches(3, seed, epoch) for i in batch.indices.tolist()]


def test_order_is_a_function_of_seed_and_epoch() -> None:
    data = counted()
    first = order_of(data, seed=0, epoch=0)
    torch.rand(7)  # consumed random state changes nothing
    assert order_of(data, seed=0, epoch=0) == first
    assert order_of(data, seed=0, epoch=1) != first
    assert order_of(data, seed=1, epoch=0) != first
    assert len(first) == 9, "the last, smaller batch is dropped"
    assert len(set(first)) == 9


def test_a_single_small_batch_is_kept() -> None:
    assert len(list(counted(2).training_batches(8, 0, 0))) == 1


def test_ranks_share_each_batch() -> None:
    data = counted()
    whole = [batch.indices.tolist() for batch in data.training_batches(4, 0, 0)]
    parts = [[b.indices.tolist() for b in data.training_batches(4, 0, 0, rank=rank, world=2)] for rank in (0, 1)]
    for step, indices in enumerate(whole):
        assert sorted(parts[0][step] + parts[1][step]) == sorted(indices)


def test_fixed_views_are_the_same_for_every_seed_and_the_order_is_not() -> None:
    images = torch.randint(0, 256, (12, 1, 6, 6), dtype=torch.uint8)
    split = TensorSplit(images, torch.arange(12) % 2)
    data = Data("random", split, split, split, ("a", "b"), "0" * 64)

    def first(seed: int, views: int | None) -> tuple[list[int], torch.Tensor]:
        [batch] = data.training_batches(12, seed, 3, Augment(2), views=views)
        return batch.indices.tolist(), batch.inputs[0][batch.indices.argsort()]

    (order, fixed), (other_order, other) = first(1, 2), first(2, 2)
    assert order != other_order
    assert torch.equal(fixed, other)
    assert not torch.equal(first(1, None)[1], first(2, None)[1])


def test_a_sample_s_view_does_not_depend_on_the_batch_size() -> None:
    images = torch.randint(0, 256, (12, 1, 6, 6), dtype=torch.uint8)
    split = TensorSplit(images, torch.arange(12) % 2)
    data = Data("random", split, split, split, ("a", "b"), "0" * 64)

    def views(size: int, epoch: int) -> dict[int, torch.Tensor]:
        batches = data.training_batches(size, 3, epoch, Augment(1, flip=True))
        return {int(i): image for b in batches for i, image in zip(b.indices, b.inputs[0], strict=True)}

    small, large, later = views(3, 0), views(6, 0), views(6, 1)
    assert all(torch.equal(small[i], large[i]) for i in range(12))
    assert any(not torch.equal(large[i], later[i]) for i in range(12))


def test_a_subset_is_the_parent_s_rows() -> None:
    subset = Subset(counted().train, torch.tensor([7, 2, 5]))
    assert subset.labels.tolist() == [1, 0, 1]
    assert subset.fetch(torch.tensor([2, 0]))[0][:, 0, 0, 0].tolist() == [5, 7]


def test_batches_cover_a_split_in_order() -> None:
    batches = list(counted().batches("test", 4))
    assert [len(batch.labels) for batch in batches] == [4, 4, 2]
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(10))


def test_texts_of_about_one_length_share_a_batch() -> None:
    data = small_texts.sentence_data(small_texts.encoder(), train=240)
    lengths = data.train.lengths  # type: ignore[attr-defined]
    assert data.has_lengths and not counted().has_lengths
    batches = list(data.training_batches(16, seed=0, epoch=0))
    seen = torch.cat([batch.indices for batch in batches])
    assert len(batches) == data.steps_per_epoch(16) and len(seen.unique()) == len(seen)
    padding = sum(float((batch.inputs[1] == 0).sum()) for batch in batches)
    plain = torch.randperm(len(data.train))[: len(seen)].split(16)
    wanted = sum(float((lengths[batch].max() - lengths[batch]).sum()) for batch in plain)
    assert padding < wanted / 4
    # The order is that of the seed and the epoch, and long and short batches alternate.
    first, again, later = (
        torch.cat([batch.indices for batch in data.training_batches(16, 0, epoch)]) for epoch in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, later)
    means = [float(batch.inputs[1].sum(1).float().mean()) for batch in batches]
    assert means != sorted(means)


def test_ranks_share_batches_of_one_length() -> None:
    data = small_texts.sentence_data(small_texts.encoder())
    whole = [batch.indices.tolist() for batch in data.training_batches(8, 0, 0)]
    parts = [[b.indices.tolist() for b in data.training_batches(8, 0, 0, rank=rank, world=2)] for rank in (0, 1)]
    for step, indices in enumerate(whole):
        assert sorted(parts[0][step] + parts[1][step]) == sorted(indices)


def test_data_is_seen_by_each_network_in_its_own_tokens() -> None:
    raw = small_texts.sentence_data()
    bert, roberta = (small_texts.encoder(kind).info.tokenizer for kind in ("bert", "roberta"))
    assert bert is not None and roberta is not None
    seen = raw.seen_by(bert)
    assert raw.tokenizer is None and seen.tokenizer == bert
    assert seen.seen_by(bert) is seen and seen.seen_by(None) is seen
    other = seen.seen_by(roberta)
    assert len(seen.batch("test", torch.arange(4)).inputs) == 3
    assert len(other.batch("test", torch.arange(4)).inputs) == 2
    assert torch.equal(other.validation.labels, seen.validation.labels)
    assert other.fingerprint == seen.fingerprint == raw.fingerprint
    images = counted()
    assert torch.equal(
        images.seen_by(bert).batch("train", torch.arange(3)).inputs[0], images.train.fetch(torch.arange(3))[0]
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_lie_row_by_row_however_their_source_keeps_them(channels: int) -> None:
    stored = torch.randint(0, 256, (6, 5, 4, channels), dtype=torch.uint8).permute(0, 3, 1, 2)
    split = TensorSplit(stored, torch.zeros(6, dtype=torch.long))
    row_by_row = (channels * 20, 20, 4, 1)
    for normalise in (None, Normalise((0.5,) * channels, (0.5,) * channels)):
        data = Data("made", split, split, split, ("a",), "", normalise=normalise)
        batches = [data.batch("train", torch.arange(3)), *data.training_batches(3, 0, 0, Augment(1))]
        assert [batch.inputs[0].stride() for batch in batches] == [row_by_row] * 3
        moved = batches[0].to("cpu", channels_last=True)
        assert moved.inputs[0].stride() == (channels * 20, 1, 4 * channels, channels)
        assert moved.to("cpu").inputs[0].stride() == row_by_row
