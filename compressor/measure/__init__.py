"""Numbers about a form, measured on the file that will run."""

from compressor.measure.compute import count_macs, count_params
from compressor.measure.latency import interleaved_latency, p50s, timed_inputs
from compressor.measure.parity import parity
from compressor.measure.score import batch_for, collect_outputs, paired_drop, score_form, score_outputs
from compressor.measure.snapshot import Reference, Snapshot, costs_of, snapshot
from compressor.measure.trial import try_file

__all__ = [
    "Reference",
    "Snapshot",
    "batch_for",
    "collect_outputs",
    "costs_of",
    "count_macs",
    "count_params",
    "interleaved_latency",
    "p50s",
    "paired_drop",
    "parity",
    "score_form",
    "score_outputs",
    "snapshot",
    "timed_inputs",
    "try_file",
]
