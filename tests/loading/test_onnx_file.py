from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from small import small_data, small_model

from compressor.errors import ModelFileError
from compressor.export.onnx import export_onnx
from compressor.loading import load_file
from compressor.models import OnnxModel


def test_what_export_wrote_comes_back(tmp_path: Path) -> None:
    model, data = small_model(), small_data()
    export_onnx(model, tmp_path / "m.onnx", data.batch("train", torch.arange(2)).inputs)
    form = load_file(tmp_path / "m.onnx")
    assert isinstance(form, OnnxModel)
    assert form.info.inputs == model.info.inputs
    assert form.info.classes == data.classes
    assert form.precision == "fp32"
    assert form.info.source == str(tmp_path / "m.onnx")


def foreign(path: Path, op: str = "Relu", metadata: str = "") -> Path:
    x = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, 8, 8])
    y = helper.make_tensor_value_info("out", TensorProto.FLOAT if op == "Relu" else TensorProto.UINT8, None)
    inputs = ["pixels"] if op == "Relu" else ["pixels", "scale"]
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1])
    proto = helper.make_model(helper.make_graph([helper.make_node(op, inputs, ["out"])], "g", [x], [y], [scale]))
    if metadata:
        entry = proto.metadata_props.add()
        entry.key, entry.value = "compressor.inputs", metadata
    onnx.save(proto, path)
    return path


def test_a_file_of_others_tells_its_inputs_by_the_graph(tmp_path: Path) -> None:
    form = load_file(foreign(tmp_path / "m.onnx"))
    assert isinstance(form, OnnxModel)
    assert [(spec.name, spec.shape) for spec in form.info.inputs] == [("pixels", (3, 8, 8))]


def test_integers_are_recognised(tmp_path: Path) -> None:
    form = load_file(foreign(tmp_path / "m.onnx", op="QuantizeLinear"))
    assert isinstance(form, OnnxModel) and form.precision == "int8"


@pytest.mark.parametrize("content", [b"x", b"no onnx file, but some longer text", b"\x08"])
def test_no_onnx_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelFileError, match="is not an ONNX file"):
        load_file(tmp_path / "m.onnx")


@pytest.mark.parametrize("metadata", ["{", "3", '[{"shape": "large"}]'])
def test_metadata_that_does_not_fit(tmp_path: Path, metadata: str) -> None:
    with pytest.raises(ModelFileError, match="metadata doesn't fit"):
        load_file(foreign(tmp_path / "m.onnx", metadata=metadata))
