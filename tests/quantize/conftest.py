"""The trained digits network, and small networks with one trait each."""

from digits import context, data, trained, trained_onnx

__all__ = ["context", "data", "trained", "trained_onnx"]
