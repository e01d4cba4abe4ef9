"""The trained digits network and its ONNX file, and an encoder in integers and its file, made once."""

import pytest
import small_texts
from digits import context, data, trained, trained_onnx

from compressor.export.onnx import export_onnx
from compressor.models import OnnxModel, QuantizedModel

__all__ = ["context", "data", "trained", "trained_onnx"]


@pytest.fixture(scope="session")
def int8_encoder() -> QuantizedModel:
    return small_texts.quantized(small_texts.encoder("bert", num_hidden_layers=1))


@pytest.fixture(scope="session")
def int8_encoder_onnx(int8_encoder: QuantizedModel, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    path = tmp_path_factory.mktemp("encoder") / "model.onnx"
    return export_onnx(int8_encoder, path, small_texts.inputs_of(small_texts.encoder()))
