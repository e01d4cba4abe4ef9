"""Dynamic int8: the linear layers' weights are bytes, the rest is as it was, and so are the answers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import small_texts
import torch
from onnx import numpy_helper

from compressor.export.dynamic import write_dynamic
from compressor.export.onnx import export_onnx, read_metadata
from compressor.models import TorchModel
from compressor.runners import OnnxRunner, arrays_of


@pytest.fixture(scope="module")
def encoder() -> TorchModel:
    return small_texts.encoder("distilbert", n_layers=1, num_hidden_layers=1)


@pytest.fixture(scope="module")
def files(encoder: TorchModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("dynamic")
    source = export_onnx(encoder, folder / "float.onnx", small_texts.inputs_of(encoder)).path
    return source, write_dynamic(source, folder / "deep" / "dynamic.onnx")


def test_linear_layers_have_int8_weights_by_channel(files: tuple[Path, Path]) -> None:
    graph = onnx.load(files[1]).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    # Query, key, value, output; two of the feed-forward; two of the head.
    assert len(products) == 8
    for node in products:
        assert stored[node.input[1]].dtype == np.int8
        scale = stored[node.input[1].removesuffix("_quantized") + "_scale"]
        assert scale.shape == (stored[node.input[1]].shape[1],)
    # Products of two activations stay in float.
    assert sum(node.op_type == "MatMul" for node in graph.node) == 2


def test_answers_hardly_differ_at_any_length(encoder: TorchModel, files: tuple[Path, Path]) -> None:
    inputs = small_texts.inputs_of(encoder)
    wanted = small_texts.answers(encoder, inputs).numpy()
    with OnnxRunner(files[1]) as runner:
        found = runner.infer(arrays_of(inputs))
        np.testing.assert_allclose(found, wanted, atol=0.05 * float(np.abs(wanted).max()))
        for count in (2, 64):
            ids = torch.full((1, count), 9)
            assert np.isfinite(runner.infer(arrays_of((ids, torch.ones_like(ids))))).all()


def test_the_file_says_what_it_said(files: tuple[Path, Path]) -> None:
    assert read_metadata(files[1]) == read_metadata(files[0])
    assert files[1].stat().st_size < files[0].stat().st_size
    assert not list(files[1].parent.glob("*.tmp"))
