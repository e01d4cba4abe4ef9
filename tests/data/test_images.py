"""Augmentation and normalising of images, by hand and by slicing."""

import numpy as np
import torch

from compressor.data.images import Augment, Normalise, Views


def test_normalise_by_hand() -> None:
    image = torch.tensor([[[[0, 255]], [[51, 102]]]], dtype=torch.uint8)
    out = Normalise((0.5, 0.2), (0.5, 0.1))(image)
    np.testing.assert_allclose(out.flatten(), [-1, 1, 0, 2], atol=1e-6)
    assert out.is_contiguous()


def test_augment_against_slicing() -> None:
    torch.manual_seed(1)
    images = torch.randint(0, 256, (6, 2, 5, 4), dtype=torch.uint8)
    augment = Augment(crop=2, flip=True)
    views = augment.draw(6, torch.Generator().manual_seed(0))
    assert 0 < views.mirror.sum() < 6
    out = augment(images, views)
    for i in range(6):
        padded = np.pad(images[i].numpy(), ((0, 0), (2, 2), (2, 2)))
        row, column = views.shift[i].tolist()
        cut = padded[:, row : row + 5, column : column + 4]
        np.testing.assert_array_equal(out[i], cut[:, :, ::-1] if views.mirror[i] else cut)


def test_erasing_by_hand() -> None:
    # The box's side is sqrt(0.02 + 0.31 * area): area 0.75 gives 0.5025 of each side, here 5.025 of 10 pixels,
    # and top 0.2 puts it at 0.2 * (10 - 5.025) = 0.995. Pixels count by their middles: rows 1 to 5.
    images = torch.full((2, 3, 10, 10), 9, dtype=torch.uint8)
    drawn = torch.tensor([[0.2, 0.75, 0.5, 0.2, 1.0], [0.3, 0.75, 0.5, 0.2, 1.0]])
    views = Views(torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, dtype=torch.bool), drawn)
    out = Augment(erase=0.25)(images, views)
    expected = torch.full((3, 10, 10), 9, dtype=torch.uint8)
    expected[:, 1:6, 5:] = 0
    assert torch.equal(out[0], expected)
    assert torch.equal(out[1], images[1]), "0.3 is not below 0.25"


def test_erasing_keeps_to_its_ranges() -> None:
    augment = Augment(erase=0.5)
    images = torch.ones(2000, 1, 40, 40, dtype=torch.uint8)
    gone = (augment(images, augment.draw(2000, torch.Generator().manual_seed(0))) == 0).float()
    erased = gone.flatten(1).any(1)
    assert 0.45 < erased.float().mean() < 0.55
    share = gone[erased].flatten(1).mean(1)
    # Single pixels are 1/1600 of the image and 1/40 of a side.
    assert 0.01 < share.min() < 0.05
    assert 0.28 < share.max() < 0.36
    tall, wide = gone[erased].amax(3).sum((1, 2)), gone[erased].amax(2).sum((1, 2))
    assert 1.5 < (tall / wide).max() < 3.7
