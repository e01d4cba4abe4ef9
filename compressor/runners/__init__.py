"""Running a form of a model on inputs: one class per runtime, all with the same methods."""

from compressor.runners.choose import available, runner_for
from compressor.runners.engine import EngineRunner
from compressor.runners.onnx import OnnxRunner
from compressor.runners.protocol import Arrays, Runner, arrays_of, as_network
from compressor.runners.saturation import int8_saturates
from compressor.runners.torch import TorchRunner

__all__ = [
    "Arrays",
    "EngineRunner",
    "OnnxRunner",
    "Runner",
    "TorchRunner",
    "arrays_of",
    "as_network",
    "available",
    "int8_saturates",
    "runner_for",
]
