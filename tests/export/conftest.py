"""The trained digits network and its ONNX file, made once."""

import importlib.util
from pathlib import Path
from typing import Any

_spec = importlib.util.spec_from_file_location("digits", Path(__file__).parents[1] / "digits.py")
assert _spec is not None and _spec.loader is not None
_digits: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_digits)
data, trained, trained_onnx, context = _digits.data, _digits.trained, _digits.trained_onnx, _digits.context
