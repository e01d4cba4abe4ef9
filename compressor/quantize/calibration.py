"""Ranges for all activation quantizers, measured on training batches."""

from collections.abc import Iterable

import torch
from torch import Tensor, distributed, fx

from compressor.quantize.fake_quant import ActivationQuantizer, WeightQuantizer
from compressor.quantize.insertion import activation_quantizers, weight_quantizers
from compressor.quantize.observers import (
    Calibration,
    HistogramObserver,
    MinMaxObserver,
    Range,
    entropy_range,
    percentile_range,
)

Batches = list[tuple[Tensor, ...]]


@torch.no_grad()
def calibrate(
    graph_module: fx.GraphModule, batches: Batches, method: Calibration = "minmax", percentile: float = 99.99
) -> None:
    """Set every quantizer's grid from real inputs, with rounding off while they are measured.

    The result depends on the batches alone. In a distributed run each rank may bring its own; the
    widest range over the ranks is taken.

    Args:
        graph_module: From ``insert``, on the batches' device.
        batches: The network's inputs, a tuple a call.
        method: How a range is found; see ``compressor.quantize.observers``.
        percentile: For ``method="percentile"``: the share of values inside, on each side.
    """
    quantizers = activation_quantizers(graph_module)
    weights = weight_quantizers(graph_module)
    for quantizer, weight in weights:
        quantizer.fit_to(weight)
    modes = {module: module.training for module in graph_module.modules()}
    graph_module.eval()
    rounding: list[ActivationQuantizer | WeightQuantizer] = [*quantizers.values(), *(found for found, _ in weights)]
    for each in rounding:
        each.enabled = False
    try:
        ranges = _measure(graph_module, quantizers, batches, method, percentile)
    finally:
        for each in rounding:
            each.enabled = True
        for observed in quantizers.values():
            observed.observer = None
        for module, mode in modes.items():
            module.training = mode
    device = next(graph_module.parameters()).device
    for name, (low, high) in _over_ranks(ranges, device).items():
        quantizers[name].set_range(low, high)


def _measure(
    graph_module: fx.GraphModule,
    quantizers: dict[str, ActivationQuantizer],
    batches: Batches,
    method: Calibration,
    percentile: float,
) -> dict[str, Range]:
    extremes = {name: MinMaxObserver() for name in quantizers}
    _observe(graph_module, quantizers, extremes, batches)
    if method == "minmax":
        return {name: observer.mean_range() for name, observer in extremes.items()}
    counts = {name: HistogramObserver(*observer.full_range()) for name, observer in extremes.items()}
    _observe(graph_module, quantizers, counts, batches)
    if method == "entropy":
        return {name: entropy_range(observer.counts, observer.edges()) for name, observer in counts.items()}
    return {name: percentile_range(observer.counts, observer.edges(), percentile) for name, observer in counts.items()}


def _observe(
    graph_module: fx.GraphModule,
    quantizers: dict[str, ActivationQuantizer],
    observers: dict[str, MinMaxObserver] | dict[str, HistogramObserver],
    batches: Iterable[tuple[Tensor, ...]],
) -> None:
    for name, quantizer in quantizers.items():
        quantizer.observer = observers[name]
    for inputs in batches:
        graph_module(*inputs)


def _over_ranks(ranges: dict[str, Range], device: torch.device) -> dict[str, Range]:
    """The widest range over all processes, so that every rank rounds to the same grids."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ranges
    names = sorted(ranges)
    widths = torch.tensor([[-ranges[name][0], ranges[name][1]] for name in names], device=device)
    distributed.all_reduce(widths, op=distributed.ReduceOp.MAX)
    return {name: (-float(low), float(high)) for name, (low, high) in zip(names, widths, strict=True)}
