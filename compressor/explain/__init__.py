"""Why a file is not smaller or faster: causes by rule, each with what it costs and what would end it."""

from compressor.explain.explanation import Explanation, explain_onnx, explain_path
from compressor.explain.finding import Finding

__all__ = ["Explanation", "Finding", "explain_onnx", "explain_path"]
