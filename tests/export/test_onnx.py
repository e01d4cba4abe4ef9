"""The file: whole, checked, readable without us, or not there at all."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from nets import Block
from torch import Tensor, nn

from compressor.data import Data
from compressor.errors import StageError
from compressor.export.onnx import export_onnx, read_metadata
from compressor.models import InputSpec, ModelInfo, OnnxModel, TorchModel


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)

    def forward(self, tokens: Tensor, values: Tensor) -> Tensor:
        return self.embed(tokens).mean(1) + values


def test_any_batch_size_gives_torchs_answers(trained: TorchModel, trained_onnx: OnnxModel, data: Data) -> None:
    session = onnxruntime.InferenceSession(trained_onnx.path)
    for count in (1, 3, 17):
        given = data.batch("test", torch.arange(count)).inputs[0]
        found = session.run(None, {"input": given.numpy()})[0]
        with torch.no_grad():
            expected = trained.module(given).numpy()
        assert np.abs(found - expected).max() < 1e-4


def test_axes_and_names(trained_onnx: OnnxModel) -> None:
    graph = onnx.load(trained_onnx.path).graph
    shapes = [
        (value.name, [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim])
        for value in (*graph.input, *graph.output)
    ]
    assert shapes == [("input", ["batch", 1, 8, 8]), ("logits", ["batch", 10])]
    assert onnx.load(trained_onnx.path).opset_import[0].version == 20


def test_metadata_tells_how_to_feed_it(trained_onnx: OnnxModel, data: Data) -> None:
    metadata = read_metadata(trained_onnx.path)
    assert json.loads(metadata["classes"]) == list(data.classes)
    contract = json.loads(metadata["inputs"])[0]
    assert contract["shape"] == [1, 8, 8]
    assert contract["range"] == [0, 255]
    assert (contract["mean"], contract["std"]) == ([0.3], [0.38])
    assert "scheme" not in metadata


def test_nothing_of_this_machine_is_inside(trained_onnx: OnnxModel) -> None:
    content = trained_onnx.path.read_bytes()
    assert str(Path.cwd()).encode() not in content
    assert str(Path(torch.__file__).parent).encode() not in content


def test_equal_networks_give_equal_files(trained: TorchModel, data: Data, tmp_path: Path) -> None:
    inputs = data.batch("train", torch.arange(2)).inputs
    files = [export_onnx(trained, tmp_path / name, inputs).path.read_bytes() for name in ("a.onnx", "b.onnx")]
    assert files[0] == files[1]


def test_several_inputs_keep_their_names(tmp_path: Path) -> None:
    inputs = (InputSpec(name="tokens", shape=(5,), dtype="int64", layout="NT"), InputSpec(name="values", shape=(4,)))
    model = TorchModel(TwoInputs(), ModelInfo(inputs=inputs))
    made = export_onnx(model, tmp_path / "two.onnx", (torch.randint(0, 10, (2, 5)), torch.randn(2, 4)))
    session = onnxruntime.InferenceSession(made.path)
    assert [given.name for given in session.get_inputs()] == ["tokens", "values"]
    assert session.run(None, {"tokens": np.ones((3, 5), np.int64), "values": np.ones((3, 4), np.float32)})[0].shape


def test_the_module_is_left_alone(trained: TorchModel, data: Data, tmp_path: Path) -> None:
    trained.module.train()
    export_onnx(trained, tmp_path / "model.onnx", data.batch("train", torch.arange(2)).inputs)
    assert trained.module.training
    trained.module.eval()


def test_what_cannot_be_exported_says_why_and_leaves_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StageError, match=r"Branching can't be exported to ONNX: .*data-dependent") as caught:
        export_onnx(TorchModel(Branching(), ModelInfo()), tmp_path / "model.onnx", (torch.randn(2, 3),))
    assert "control flow" in caught.value.hint
    assert not list(tmp_path.iterdir())
    assert "".join(capfd.readouterr()) == ""


def test_export_is_silent(trained: TorchModel, data: Data, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export_onnx(trained, tmp_path / "model.onnx", data.batch("train", torch.arange(2)).inputs)
    assert "".join(capfd.readouterr()) == ""


def test_parallel_branches_are_one_convolution_in_the_file(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Block(4, 3, 1), Block(4, 1, 1, groups=2)).eval()
    images = torch.randn(2, 3, 6, 6)
    file = export_onnx(TorchModel(network, ModelInfo()), tmp_path / "model.onnx", (images,)).path
    kinds = [node.op_type for node in onnx.load(file).graph.node]
    assert kinds == ["Conv", "Conv", "Relu", "Conv", "Relu"]
    assert "6 parallel branches" in read_metadata(file)["merged_branches"]
    found = onnxruntime.InferenceSession(file).run(None, {"input": images.numpy()})[0]
    assert np.allclose(found, network(images).detach(), atol=1e-5)
