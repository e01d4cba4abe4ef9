"""The one training loop, and what is measured of a network while it trains."""

from compressor.training.evaluate import evaluate, reestimate_batchnorm
from compressor.training.fit import FitResult, Loss, Objective, fit
from compressor.training.settings import TrainSettings

__all__ = ["FitResult", "Loss", "Objective", "TrainSettings", "evaluate", "fit", "reestimate_batchnorm"]
