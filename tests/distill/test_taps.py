"""Layers are heard in modules and in graphs, nothing of the network changes, and nothing stays behind."""

import copy

import pytest
import small
import small_texts
import torch
from torch import nn

from compressor.blocks import attentions
from compressor.distill.taps import Taps, layers_of
from compressor.errors import PlanError, StageError
from compressor.quantize import capture, insert_quantizers, place
from compressor.target import Target

IMAGES = torch.randn(4, 1, 8, 8)


def graph(rounded: bool = True) -> torch.fx.GraphModule:
    captured = capture(small.small_model().module.eval(), (IMAGES,))
    return insert_quantizers(captured, place(captured, Target(runtime="onnxruntime"))) if rounded else captured


def test_a_graph_gives_what_its_module_gives() -> None:
    module = small.small_model().module.eval()
    paths = ["stages.0", "stages.1", "pool", "stages.0.0.conv1"]
    found = []
    for network in (module, graph(rounded=False)):
        with Taps(network, paths) as taps, torch.no_grad():
            network(IMAGES)
            found.append(taps.take())
    assert set(found[0]) == set(paths)
    # In the graph BatchNorm is folded into the convolution before it.
    folded = module.stages[0][0].bn1(found[0].pop("stages.0.0.conv1"))
    torch.testing.assert_close(found[1].pop("stages.0.0.conv1"), folded, rtol=1e-4, atol=1e-5)
    for path, tensor in found[0].items():
        torch.testing.assert_close(found[1][path], tensor, rtol=1e-4, atol=1e-5)


def test_a_rounded_graph_is_tapped_with_gradients_and_restored() -> None:
    rounded = graph().train()
    before, keys = rounded.code, list(rounded.state_dict())
    outputs = rounded(IMAGES)
    taps = Taps(rounded, ["stages.0"])
    assert list(rounded.state_dict()) == keys
    assert torch.equal(rounded(IMAGES), outputs)
    taps.take()["stages.0"].square().mean().backward()
    assert rounded.get_parameter("conv1.weight").grad is not None
    copied = copy.deepcopy(rounded)
    assert torch.equal(copied(IMAGES), outputs)
    taps.close()
    assert rounded.code == before
    assert not any("tap" in name for name, _ in rounded.named_modules())
    assert torch.equal(rounded(IMAGES), outputs)


def test_hooks_are_gone_after_close() -> None:
    module = small.small_model().module
    with Taps(module, ["stages.0", "stages.0", "fc"]) as taps:
        module(IMAGES)
        assert set(taps.take()) == {"stages.0", "fc"}
    assert not any(child._forward_hooks for child in module.modules())


def test_what_does_not_fire_is_said() -> None:
    module = small.small_model().module
    taps = Taps(module, ["stages.0"])
    with pytest.raises(StageError, match="hook did not fire"):
        taps.take()
    module(IMAGES)
    taps.take()
    with pytest.raises(StageError, match=r"stages\.0"):
        taps.take()


def test_an_unknown_layer_is_refused_with_the_nearest() -> None:
    for network in (small.small_model().module, graph()):
        with pytest.raises(PlanError, match=r"no layer 'stages\.9'.*stages\.\d"):
            Taps(network, ["stages.9"])


class TwoFold(nn.Module):
    """Its inner layer gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[0].mean(1)


def test_the_first_tensor_of_several_is_taken() -> None:
    module = TwoFold()
    with Taps(module, layers_of(module)) as taps:
        module(torch.randn(2, 3, 4))
        assert taps.take()["inner"].shape == (2, 3, 5)


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_attention_matrices_of_every_encoder(kind: str) -> None:
    model = small_texts.encoder(kind)
    inputs = small_texts.inputs_of(model)
    with Taps(model.module, [f"{block.path}@attention" for block in attentions(model.module)]) as taps, torch.no_grad():
        model.module(*inputs)
        found = taps.take()
    assert len(found) == (1 if kind == "albert" else 4)
    for matrices in found.values():
        assert matrices.shape == (6, 4, inputs[0].shape[1], inputs[0].shape[1])
        torch.testing.assert_close(matrices.sum(-1), torch.ones(matrices.shape[:-1]))
        # No token looks at padding; what padding looks at is nothing to anyone.
        seen = matrices * inputs[1][:, None, :, None] * (1 - inputs[1])[:, None, None, :]
        assert float(seen.max()) < 1e-6


def test_a_graph_gives_the_attention_of_its_module() -> None:
    model = small_texts.encoder("bert", num_hidden_layers=2)
    inputs = small_texts.inputs_of(model)
    paths = [f"{block.path}@attention" for block in attentions(model.module)]
    found = []
    for network in (model.module, capture(model.module, inputs, 64)):
        with Taps(network, paths) as taps, torch.no_grad():
            network(*inputs)
            found.append(taps.take())
    for path in paths:
        torch.testing.assert_close(found[1][path], found[0][path], rtol=1e-4, atol=1e-6)


def test_networks_give_their_attention_only_while_it_is_listened_to() -> None:
    module = small_texts.encoder("bert").module
    config = module.network.config  # type: ignore[union-attr]
    before = config.output_attentions
    with Taps(module, [f"{attentions(module)[0].path}@attention"]):
        assert config.output_attentions is True
    assert config.output_attentions == before
    assert not any(child._forward_hooks for child in module.modules())


def test_a_layer_and_its_attention_are_two_things() -> None:
    model = small_texts.encoder("bert")
    inputs = small_texts.inputs_of(model)
    path = attentions(model.module)[0].path
    with Taps(model.module, [path, f"{path}@attention"]) as taps, torch.no_grad():
        model.module(*inputs)
        found = taps.take()
    assert found[path].shape == (6, inputs[0].shape[1], 32)
    assert found[f"{path}@attention"].shape[1] == 4
    with pytest.raises(PlanError, match=r"no layer 'network\.brt@attention'"):
        Taps(model.module, ["network.brt@attention"])
    with Taps(model.module, ["network.bert.embeddings@attention"]) as taps, torch.no_grad():
        model.module(*inputs)
        with pytest.raises(StageError, match="gave no tensor"):
            taps.take()
