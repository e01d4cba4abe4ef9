"""The embedded example's data: scikit-learn's 1,797 digits of 8x8 pixels."""

from collections.abc import Mapping
from typing import Any

import torch
from sklearn.datasets import load_digits

from compressor.data.batches import Data, TensorSplit
from compressor.data.source import PREPROCESSING, Arguments, Source, resized
from compressor.data.splits import data_from_source, fingerprint
from compressor.models import InputSpec


def digits(given: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    """All digits, grey values 0..16 stretched to 0..255. Never mirrored."""
    args = Arguments(given, PREPROCESSING, "digits")
    values, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(values).mul(255 / 16).round().to(torch.uint8).reshape(-1, 1, 8, 8)
    train = TensorSplit(resized(images, args, "digits"), torch.from_numpy(labels).long())
    classes = tuple(str(digit) for digit in range(10))
    source = Source("digits", train, None, None, classes, fingerprint([train]))
    return data_from_source(source, args, inputs, seed)
