"""The one training loop, and what is measured of a network while it trains."""

from compressor.training.evaluate import evaluate, reestimate_batchnorm
from compressor.training.fit import FitResult, fit
from compressor.training.objective import Loss, Objective
from compressor.training.settings import FINE_TUNING, TrainSettings

__all__ = [
    "FINE_TUNING",
    "FitResult",
    "Loss",
    "Objective",
    "TrainSettings",
    "evaluate",
    "fit",
    "reestimate_batchnorm",
]
