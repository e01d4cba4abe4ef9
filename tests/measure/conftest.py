"""The trained digits network and its ONNX file, made once."""

from digits import context, data, trained, trained_onnx

__all__ = ["context", "data", "trained", "trained_onnx"]
