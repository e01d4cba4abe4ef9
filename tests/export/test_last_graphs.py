"""A network that is exported again isn't; one that changed in anything is."""

from collections.abc import Callable

import onnx
import pytest
import small_texts
import torch
from torch import fx, nn

from compressor.export import onnx as exporting
from compressor.export.last_graphs import KEPT, LastGraphs
from compressor.models import QuantizedModel


def traced(*layers: nn.Module) -> fx.GraphModule:
    return fx.symbolic_trace(nn.Sequential(*layers))


class Counted:
    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> onnx.ModelProto:
        self.made += 1
        return onnx.ModelProto(producer_version=str(self.made))


def test_the_same_network_is_exported_once() -> None:
    graphs, make = LastGraphs(), Counted()
    module = traced(nn.Linear(2, 2))
    first = graphs.get(module, ("a",), make)
    first.producer_version = "changed by who asked"
    assert graphs.get(module, ("a",), make).producer_version == "1" and make.made == 1
    assert graphs.get(module, ("b",), make).producer_version == "2"


def trained(module: fx.GraphModule) -> None:
    next(module.parameters()).data += 1


def with_another_step(module: fx.GraphModule) -> None:
    output = next(node for node in module.graph.nodes if node.op == "output")
    with module.graph.inserting_before(output):
        output.replace_input_with(output.args[0], module.graph.call_function(torch.relu, (output.args[0],)))
    module.recompile()


def with_another_constant(module: fx.GraphModule) -> None:
    module.factor = module.factor + 1


def with_another_buffer(module: fx.GraphModule) -> None:
    module.get_buffer("unsaved").add_(1)


@pytest.mark.parametrize("change", [trained, with_another_step, with_another_constant, with_another_buffer])
def test_a_changed_network_is_exported_anew(change: Callable[[fx.GraphModule], None]) -> None:
    graphs, make = LastGraphs(), Counted()
    module = traced(nn.Linear(2, 2))
    module.factor = torch.ones(1)
    module.register_buffer("unsaved", torch.zeros(1), persistent=False)
    graphs.get(module, (), make)
    change(module)
    graphs.get(module, (), make)
    assert make.made == 2


def test_only_the_last_are_kept() -> None:
    graphs, make = LastGraphs(), Counted()
    modules = [traced(nn.Linear(2, 2)) for _ in range(KEPT + 1)]
    for module in [*modules, modules[0]]:
        graphs.get(module, (), make)
    assert make.made == KEPT + 2


def test_a_quantized_form_goes_through_torchs_exporter_once(
    int8_encoder: QuantizedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = small_texts.inputs_of(small_texts.encoder())
    monkeypatch.setattr(exporting, "LAST_GRAPHS", LastGraphs())
    first = exporting.graph_of(int8_encoder, examples)
    monkeypatch.setattr(exporting, "_to_proto", None)
    assert exporting.graph_of(int8_encoder, examples) == first
