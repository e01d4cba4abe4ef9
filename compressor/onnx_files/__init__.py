"""ONNX files by themselves: what they weigh, what they compute, how they run; without torch, which takes seconds."""

from compressor.onnx_files import compute
from compressor.onnx_files.external import read_graph
from compressor.onnx_files.session import PROVIDER, open_session, session_options
from compressor.onnx_files.size import file_size

__all__ = ["PROVIDER", "compute", "file_size", "open_session", "read_graph", "session_options"]
