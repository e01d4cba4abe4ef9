import torch
from sklearn.datasets import load_digits

from compressor.data.digits import digits


def test_every_digit_once_in_full_range() -> None:
    data = digits({}, None, seed=0)
    splits = (data.train, data.validation, data.test)
    assert sum(len(split) for split in splits) == 1797
    images = torch.cat([split.fetch(torch.arange(len(split)))[0] for split in splits])
    assert images.dtype == torch.uint8 and images.shape[1:] == (1, 8, 8)
    labels = torch.cat([split.labels for split in splits])
    values, classes = load_digits(return_X_y=True)
    wanted = torch.from_numpy(values * 255 / 16).round().to(torch.uint8)
    ours = {(bytes(image.flatten().tolist()), int(label)) for image, label in zip(images, labels, strict=True)}
    theirs = {(bytes(image.tolist()), int(label)) for image, label in zip(wanted, classes, strict=True)}
    assert ours == theirs and len(ours) > 1790
    assert int(images.max()) == 255
    assert data.classes == tuple("0123456789")
    assert not data.flip


def test_larger_and_in_colour() -> None:
    data = digits({"size": 32, "channels": 3}, None, seed=0)
    assert data.batch("train", torch.arange(2)).inputs[0].shape == (2, 3, 32, 32)
