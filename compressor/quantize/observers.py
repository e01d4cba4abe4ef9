"""The range of a tensor over calibration batches: mean extremes, percentiles, or least information lost.

Two passes: the first finds the extremes, the second counts values between them.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Calibration = Literal["minmax", "percentile", "entropy"]
BINS = 2048
# Positive integers of int8; the histogram is over magnitudes.
LEVELS = 128
Range = tuple[float, float]
Counts = npt.NDArray[np.float64]


class MinMaxObserver:
    """Extremes of every batch. Their mean over batches shrugs off a single odd batch."""

    def __init__(self) -> None:
        self.lows: list[Tensor] = []
        self.highs: list[Tensor] = []

    def __call__(self, x: Tensor) -> None:
        """Take one batch."""
        low, high = x.float().aminmax()
        self.lows.append(low)
        self.highs.append(high)

    def mean_range(self) -> Range:
        """Means of the batches' extremes."""
        return float(torch.stack(self.lows).mean()), float(torch.stack(self.highs).mean())

    def full_range(self) -> Range:
        """The extremes of all batches."""
        return float(torch.stack(self.lows).min()), float(torch.stack(self.highs).max())


class HistogramObserver:
    """Counts of values in equal bins over a known range."""

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = max(high, low + 1e-12)
        self.counts: Counts = np.zeros(BINS)

    def __call__(self, x: Tensor) -> None:
        """Take one batch."""
        counted = torch.histc(x.float().cpu(), bins=BINS, min=self.low, max=self.high)
        self.counts += counted.numpy().astype(np.float64)

    def edges(self) -> Counts:
        """The bins' BINS + 1 borders."""
        return np.linspace(self.low, self.high, BINS + 1)


def percentile_range(counts: Counts, edges: Counts, percentile: float) -> Range:
    """The range that leaves ``100 - percentile`` percent of the values out on each side, to a bin."""
    cumulative = np.cumsum(counts) / counts.sum()
    tail = 1 - percentile / 100
    low = edges[np.searchsorted(cumulative, tail, side="right")] if cumulative[0] <= tail else edges[0]
    high = edges[np.searchsorted(cumulative, 1 - tail, side="left") + 1]
    return float(low), float(high)


def entropy_range(counts: Counts, edges: Counts) -> Range:
    """The range whose 8-bit version loses least information, as NVIDIA's TensorRT chooses it.

    Of all thresholds on the magnitude, the one with the least Kullback-Leibler divergence between the
    values' distribution, clipped there, and that distribution in 128 levels
    (https://www.cse.iitd.ac.in/~rijurekha/course/tensorrt.pdf).
    """
    magnitudes = np.abs((edges[:-1] + edges[1:]) / 2)
    largest = float(np.abs(edges).max())
    histogram, borders = np.histogram(magnitudes, bins=BINS, range=(0.0, largest), weights=counts)
    sizes = np.arange(LEVELS, BINS + 1, 8)
    losses = [kl_of_clipping(histogram, int(size)) for size in sizes]
    threshold = float(borders[sizes[int(np.argmin(losses))]])
    return max(float(edges[0]), -threshold), min(float(edges[-1]), threshold)


def kl_of_clipping(histogram: Counts, size: int) -> float:
    """KL divergence between the first ``size`` bins (the rest added to the last) and their 128-level version."""
    wanted = histogram[:size].copy()
    wanted[-1] += histogram[size:].sum()
    kept = histogram[:size]
    level = np.arange(size) * LEVELS // size
    occupied = kept > 0
    sums = np.bincount(level, weights=kept, minlength=LEVELS)
    members = np.bincount(level, weights=occupied, minlength=LEVELS)
    spread = np.divide(sums, members, out=np.zeros(LEVELS), where=members > 0)[level] * occupied
    if not spread.sum() or not wanted.sum():
        return float("inf")
    p, q = wanted / wanted.sum(), spread / spread.sum()
    seen = p > 0
    # A bin with values that the levels give no weight would be infinitely far: a small share stands for it.
    return float(np.sum(p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-7))))
