"""Sums before a LayerNormalization, in a small graph and in an encoder's file; the letters of sums over axes."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import small_texts
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from compressor.export.onnx import export_onnx
from compressor.export.sums import keep_sums_apart
from compressor.models import InputSpec, ModelInfo, TorchModel
from compressor.runners import OnnxRunner


def graph() -> onnx.ModelProto:
    """x + 1 (a bias), that plus x (a residual) before a LayerNormalization, and a sum that nothing normalizes."""
    arrays = {"bias": np.ones(8, np.float32), "scale": np.full(8, 2, np.float32)}
    nodes = [
        helper.make_node("Add", ["x", "bias"], ["biased"]),
        helper.make_node("LayerNormalization", ["biased", "scale"], ["first"]),
        helper.make_node("Add", ["first", "x"], ["residual"]),
        helper.make_node("LayerNormalization", ["residual", "scale"], ["second"]),
        helper.make_node("Add", ["second", "x"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, 8]) for name in ("x", "y")]
    stored = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answers(proto: onnx.ModelProto, optimized: Path) -> tuple[np.ndarray, list[str]]:
    """What the runtime computes, and the operators that it made of the graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = {"x": np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)}
    return session.run(None, inputs)[0], [node.op_type for node in onnx.load(optimized).graph.node]


def test_the_runtime_leaves_such_sums_and_says_the_same(tmp_path: Path) -> None:
    fused, before = answers(graph(), tmp_path / "before.onnx")
    proto = graph()
    keep_sums_apart(proto)
    onnx.checker.check_model(proto, full_check=True)
    apart, after = answers(proto, tmp_path / "after.onnx")
    np.testing.assert_allclose(apart, fused, atol=1e-6)
    # What this is for: without a fusion to prevent, the rewrite would have no reason any more.
    assert "SkipLayerNormalization" in before
    assert "SkipLayerNormalization" not in after


def test_biases_and_other_sums_stay() -> None:
    proto = graph()
    keep_sums_apart(proto)
    assert [node.op_type for node in proto.graph.node if node.op_type in ("Add", "Sum")] == ["Add", "Sum", "Add"]


def test_an_encoder_s_file_has_none_left(tmp_path: Path) -> None:
    model = small_texts.encoder("bert", num_hidden_layers=1)
    proto = onnx.load(export_onnx(model, tmp_path / "model.onnx", small_texts.inputs_of(model)).path)
    normalized = {node.input[0] for node in proto.graph.node if node.op_type == "LayerNormalization"}
    kinds = [node.op_type for node in proto.graph.node if node.output[0] in normalized]
    assert kinds
    assert set(kinds) == {"Sum"}


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        factors = torch.einsum("B H I D, B H J D -> B H I J", x, x)
        return torch.einsum("BHIJ,BHJD->BHID", factors, x)


def test_axes_have_small_letters(tmp_path: Path) -> None:
    x = torch.randn(2, 3, 4, 5)
    model = TorchModel(Attention(), ModelInfo(inputs=(InputSpec(shape=(3, 4, 5)),)))
    exported = export_onnx(model, tmp_path / "model.onnx", (x,))
    equations = [node.attribute[0].s for node in onnx.load(exported.path).graph.node if node.op_type == "Einsum"]
    assert equations == [b"abcd,abed->abce", b"abcd,abde->abce"]
    with OnnxRunner(exported.path) as runner:
        assert torch.allclose(torch.from_numpy(runner.infer((x.numpy(),))), Attention()(x), atol=1e-5)
