"""ONNX files by themselves: what they weigh, what they compute, how they run; without torch, which takes seconds.

Who only reads files needs no ONNX Runtime either: ``session`` is imported by itself.
"""

from compressor.onnx_files import compute
from compressor.onnx_files.external import read_graph
from compressor.onnx_files.size import file_size

__all__ = ["compute", "file_size", "read_graph"]
