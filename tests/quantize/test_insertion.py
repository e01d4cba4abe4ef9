"""The same specification gives the same graph again, and what it can't find is named."""

import copy
from collections.abc import Callable

import pytest
import small_texts
import torch
from nets import SIZE, Branches, mobilenet_v2, resnet18, settled
from torch import nn

from compressor.errors import ModelFileError
from compressor.models import QuantizationSpec
from compressor.quantize import calibrate, capture, insert, insert_quantizers, place
from compressor.quantize.fake_quant import ActivationQuantizer, SharedQuantizer
from compressor.quantize.insertion import activation_quantizers, weight_quantizers
from compressor.target import Target

EXAMPLE = (torch.randn(2, 3, SIZE, SIZE),)


@pytest.mark.parametrize("make", [resnet18, mobilenet_v2])
def test_a_rebuilt_graph_takes_the_weights_and_gives_the_same_bits(make: Callable[[], nn.Module]) -> None:
    graph = capture(settled(make), EXAMPLE)
    spec = place(graph, Target(runtime="onnxruntime"))
    insert_quantizers(graph, spec)
    calibrate(graph, [EXAMPLE])
    read_back = QuantizationSpec.model_validate_json(spec.model_dump_json())
    rebuilt = insert(make().eval(), read_back, (torch.zeros(3, 3, SIZE, SIZE),))
    assert list(rebuilt.state_dict()) == list(graph.state_dict())
    rebuilt.load_state_dict(graph.state_dict(), strict=True)
    assert torch.equal(rebuilt.eval()(EXAMPLE[0]), graph.eval()(EXAMPLE[0]))


def test_missing_layers_are_named_with_torchs_version() -> None:
    graph = capture(settled(resnet18), EXAMPLE)
    spec = place(graph, Target(runtime="onnxruntime")).model_copy(update={"torch_version": "1.2.3+cpu"})
    with pytest.raises(ModelFileError, match=r"written with torch 1\.2\.3") as caught:
        insert_quantizers(capture(settled(mobilenet_v2), EXAMPLE), spec)
    assert "pip install torch==1.2.3" in caught.value.hint


def test_copies_keep_shared_grids_to_themselves() -> None:
    graph = capture(settled(Branches), EXAMPLE)
    insert_quantizers(graph, place(graph, Target(runtime="onnxruntime")))
    copied = copy.deepcopy(graph)
    own = copied.get_submodule("quantize_relu")
    assert isinstance(own, ActivationQuantizer)
    own.set_range(0.0, 255.0)
    shared = copied.get_submodule("quantize_relu_1")
    assert isinstance(shared, SharedQuantizer)
    assert shared(torch.tensor([3.4])).item() == 3.0
    own.set_range(0.0, 2550.0)
    assert shared(torch.tensor([14.0])).item() == 10.0
    assert graph.get_submodule("quantize_relu_1")(torch.tensor([14.0])).item() == 14.0


def test_every_weight_has_its_quantizer() -> None:
    graph = capture(settled(resnet18), EXAMPLE)
    insert_quantizers(graph, place(graph, Target(runtime="tensorrt")))
    found = weight_quantizers(graph)
    assert len(found) == 21
    assert all(quantizer.half_scale and len(quantizer.scale) == len(weight) for quantizer, weight in found)
    assert len(activation_quantizers(graph)) == 21


def test_only_named_users_read_integers() -> None:
    graph = capture(settled(resnet18), EXAMPLE)
    insert_quantizers(graph, place(graph, Target(runtime="tensorrt")))
    pool = next(node for node in graph.graph.nodes if "adaptive_avg_pool2d" in str(node.target))
    assert "quantize" not in pool.args[0].name


def test_an_encoder_s_tables_lie_on_grids_of_127_by_column() -> None:
    model = small_texts.encoder("bert", num_hidden_layers=1)
    form = small_texts.quantized(model)
    rounded = {
        name: quantizer(weight)
        for quantizer, weight in weight_quantizers(form.module)
        for name, own in form.module.named_parameters()
        if own is weight
    }
    words = "network.bert.embeddings.word_embeddings.weight"
    table = model.module.get_parameter(words)
    scale = table.abs().amax(0) / 127
    torch.testing.assert_close(rounded[words], (table / scale).round() * scale)
    assert "network.bert.embeddings.token_type_embeddings.weight" not in rounded
    inputs = small_texts.inputs_of(model)
    with torch.no_grad():
        found = form.module(*inputs)
    wanted = small_texts.answers(model, inputs)
    assert 0 < float((found - wanted).abs().max()) < 0.2 * float(wanted.abs().max())
