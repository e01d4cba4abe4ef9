"""A network with a rule: copied, exported, saved and rebuilt as any other."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn

from compressor.errors import ModelFileError
from compressor.export.onnx import export_onnx
from compressor.factories.answers import Dropped, answering, logits_of, taken
from compressor.loading import load_form, save_form
from compressor.models import InputSpec, ModelInfo, OutputRule, TorchModel
from compressor.quantize import capture

RULE = OutputRule(eval="probabilities", training="probabilities", keeps_batch=True, ends="softmax", dropped=("side",))


class Net(nn.Module):
    """A squeeze that takes a single sample's axis, a softmax, a dict and a second head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 6, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, 3)
        self.side = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Any:
        x = self.pool(self.body(x).relu()).squeeze()
        return {"probabilities": self.head(x).softmax(-1), "side": self.side(x)}


def network() -> nn.Module:
    torch.manual_seed(1)
    return Net().eval()


def wanted(net: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = net.head(net.pool(net.body(x).relu()).flatten(1))
    return found


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_copy_answers_alike_and_its_original_still_gives_a_dict(x: Tensor) -> None:
    plain = network()
    net = copy.deepcopy(answering(copy.deepcopy(plain), RULE))
    assert isinstance(net, Net) and type(net).__name__ == "Net" and isinstance(net.side, Dropped)
    assert torch.equal(net(x), wanted(net, x))
    assert net(x[:1]).shape == (1, 3)
    assert isinstance(plain(x), dict)
    assert isinstance(answering(net, RULE)(x), Tensor), "a second time changes nothing"


def test_the_captured_graph_and_the_file_answer_a_single_sample(x: Tensor, tmp_path: Path) -> None:
    net = answering(network(), RULE)
    graph = capture(net, (x,))
    assert torch.allclose(graph(x[:1]), wanted(net, x[:1]), atol=1e-6)
    assert not any("softmax" in str(node.target) for node in graph.graph.nodes)
    info = ModelInfo(inputs=(InputSpec(shape=(1, 8, 8)),), output=RULE)
    path = export_onnx(TorchModel(net, info), tmp_path / "model.onnx", (x,)).path
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": x[:1].numpy()})[0]
    np.testing.assert_allclose(found, wanted(net, x[:1]).numpy(), atol=1e-5)


def test_a_saved_network_is_rebuilt_with_its_rule(x: Tensor, tmp_path: Path) -> None:
    net = answering(network(), RULE)
    save_form(TorchModel(net, ModelInfo(output=RULE)), tmp_path, (x,))
    loaded = load_form(tmp_path, factory=Net)
    assert isinstance(loaded, TorchModel) and loaded.info.output == RULE
    assert torch.equal(loaded.module(x), wanted(net, x))
    with pytest.raises(ModelFileError, match="has no 'side', which its file says is left out"):
        load_form(tmp_path, factory=nn.Identity)


def test_graphs_and_scripts_are_wrapped(x: Tensor) -> None:
    traced = fx.symbolic_trace(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)))
    graph = answering(traced, OutputRule(ends="softmax"))
    assert torch.allclose(graph(x).softmax(1), traced(x), atol=1e-6)
    assert torch.allclose(copy.deepcopy(graph)(x).softmax(1), traced(x), atol=1e-6)
    assert len(torch.export.export(graph, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},)).graph.nodes) > 2


def test_no_rule_is_no_change() -> None:
    net = network()
    assert answering(net, None) is net and answering(net, OutputRule(ends="log_softmax")) is net
    assert type(net) is Net


def test_parts_of_outputs() -> None:
    record = {"a": [1, {"b": 2}], 3: 4}
    assert taken(record, "a.1.b") == 2 and taken(record, "3") == 4 and taken(record, "") is record
    with pytest.raises(LookupError):
        taken(record, "c")


def test_logits_of_probabilities() -> None:
    z = torch.randn(4, 5)
    assert torch.allclose(logits_of(z.softmax(1), "softmax"), z.log_softmax(1), atol=1e-5)
    assert torch.allclose(logits_of(z.sigmoid(), "sigmoid"), z, atol=1e-4)
    assert logits_of(torch.tensor([[0.0, 1.0]]), "softmax").isfinite().all()
