"""The gate of a team's CI: a run or a file beside limits and a baseline; without torch, so that it answers at once."""

from compressor.gate.baseline import write_baseline
from compressor.gate.checks import Check, checked
from compressor.gate.settings import LIMITS, Gate, Tolerated
from compressor.gate.subject import Score, Subject, subject_of
from compressor.gate.tell import annotations, as_json, junit, markdown, sentence

__all__ = [
    "LIMITS",
    "Check",
    "Gate",
    "Score",
    "Subject",
    "Tolerated",
    "annotations",
    "as_json",
    "checked",
    "junit",
    "markdown",
    "sentence",
    "subject_of",
    "write_baseline",
]
