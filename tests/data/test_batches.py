import numpy as np
import torch

from compressor.data import Augment, Data, Normalise, TensorSplit
from compressor.data.batches import Subset


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


def test_normalise_by_hand() -> None:
    image = torch.tensor([[[[0, 255]], [[51, 102]]]], dtype=torch.uint8)
    out = Normalise((0.5, 0.2), (0.5, 0.1))(image)
    np.testing.assert_allclose(out.flatten(), [-1, 1, 0, 2], atol=1e-6)
    assert out.is_contiguous()


def test_augment_against_slicing() -> None:
    torch.manual_seed(1)
    images = torch.randint(0, 256, (6, 2, 5, 4), dtype=torch.uint8)
    shift = torch.randint(0, 5, (6, 2))
    mirror = torch.tensor([True, False] * 3)
    out = Augment(crop=2, flip=True)(images, shift, mirror)
    for i in range(6):
        padded = np.pad(images[i].numpy(), ((0, 0), (2, 2), (2, 2)))
        row, column = shift[i].tolist()
        cut = padded[:, row : row + 5, column : column + 4]
        np.testing.assert_array_equal(out[i], cut[:, :, ::-1] if mirror[i] else cut)


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
