"""Writing a network as a file that runs without this package."""

from compressor.export.onnx import export_onnx

__all__ = ["export_onnx"]
