"""Signals: samples of one length, each of some channels: vibrations, heartbeats, audio before any transform."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from compressor.data import Data
from compressor.data.checks import check_finite
from compressor.data.keras_npz import splits_of
from compressor.data.source import Arguments, Source
from compressor.data.splits import data_from_source, fingerprint
from compressor.data.unlabeled import with_unlabeled
from compressor.errors import DataError
from compressor.models import InputSpec, ModelInfo
from compressor.reading import placed
from compressor.tasks.classification import Classification
from compressor.tasks.modality import Modality, expected

KINDS = "biuf"


class Signals(Modality):
    """Arrays (N, channels, time) of floats, as they are in an npz file."""

    name: ClassVar[str] = "signals"
    augmented: ClassVar[bool] = False

    def read(
        self, spec: str | Callable[..., Any], args: Mapping[str, Any], info: ModelInfo | None = None, seed: int = 0
    ) -> Data:
        """An npz file of signals; whatever else the package reads, as it reads it."""
        if not isinstance(spec, str) or Path(spec).suffix != ".npz":
            return super().read(spec, args, info, seed)
        given = Arguments(args, ("classes",), spec)
        path = placed(spec, "data", "--data FILE.npz", DataError)
        (train, validation, test), names = splits_of(path, signals)
        source = Source(
            spec,
            train,
            validation,
            test,
            given.names("classes") or names,
            fingerprint([train, validation, test]),
            images=False,
            notes=("signals are taken as they are, neither scaled nor normalised",),
        )
        return data_from_source(source, given, expected(info), seed)

    def read_unlabeled(self, data: Data, spec: str, args: Mapping[str, Any], seed: int = 0) -> Data:
        """The train split of another file; labels aren't looked at."""
        return with_unlabeled(data, self.read(spec, args, seed=seed).train, spec)

    def specs(self, inputs: tuple[Tensor, ...], data: Data) -> tuple[InputSpec, ...]:
        """Channels and time."""
        return (InputSpec(shape=tuple(inputs[0].shape[1:]), layout="NCT"),)


def signals(x: npt.NDArray[Any], where: str) -> Tensor:
    """(N, T) or (N, channels, T) numbers as float32 (N, channels, T).

    Raises:
        DataError: Another shape, no numbers, or numbers that aren't finite.
    """
    if x.ndim not in (2, 3) or 0 in x.shape[1:]:
        raise DataError(f"{where} has shape {x.shape}, wanted (N, T) or (N, channels, T)", "one signal a row")
    if x.dtype.kind not in KINDS:
        raise DataError(f"{where} holds {x.dtype}, wanted numbers", "x.astype(np.float32)")
    made = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    check_finite(made, where)
    return made if made.dim() == 3 else made[:, None]


class SignalClassification(Classification):
    """One label per signal."""

    name = "signal-classification"
    modality = Signals()
    axes = "channels, time"
    remedy = "give --data with signals of the network's length and channels, or another --factory-arg"
