"""The embedded example's data: scikit-learn's 1,797 digits of 8x8 pixels."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compressor.data.batches import Data, TensorSplit
from compressor.data.source import PREPROCESSING, Arguments, Source, resized
from compressor.data.splits import data_from_source, fingerprint
from compressor.models import InputSpec


def digits(given: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    """All digits, grey values 0..16 stretched to 0..255. Never mirrored."""
    args = Arguments(given, PREPROCESSING, "digits")
    rows = torch.from_numpy(np.loadtxt(_file(), delimiter=","))
    images = rows[:, :-1].mul(255 / 16).round().to(torch.uint8).reshape(-1, 1, 8, 8)
    train = TensorSplit(resized(images, args, "digits"), rows[:, -1].long())
    classes = tuple(str(digit) for digit in range(10))
    source = Source("digits", train, None, None, classes, fingerprint([train]))
    return data_from_source(source, args, inputs, seed)


def _file() -> Path:
    """The file that scikit-learn reads them from; importing its reader would take a second."""
    package = find_spec("sklearn")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
