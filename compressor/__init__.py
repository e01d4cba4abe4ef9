"""Smallest, fastest artifact that still scores: distillation, structural pruning and quantization in one pipeline."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compressor.api import run
    from compressor.data import Data
    from compressor.data.load import load_data
    from compressor.loading import load_model, save_checkpoint
    from compressor.profile import load_profile
    from compressor.report import Report
    from compressor.stage import Stage, StageResult

__all__ = [
    "Data",
    "Report",
    "Stage",
    "StageResult",
    "load_data",
    "load_model",
    "load_profile",
    "run",
    "save_checkpoint",
]

_HOMES = {
    "Data": "compressor.data",
    "Report": "compressor.report",
    "Stage": "compressor.stage",
    "StageResult": "compressor.stage",
    "load_data": "compressor.data.load",
    "load_model": "compressor.loading",
    "load_profile": "compressor.profile",
    "run": "compressor.api",
    "save_checkpoint": "compressor.loading",
}


def __getattr__(name: str) -> Any:
    """Names are imported when they are first used (PEP 562), so that ``import compressor`` needs no torch."""
    if name not in _HOMES:
        message = f"module 'compressor' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
