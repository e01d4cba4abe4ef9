"""A pruned network comes back from its factory: through JSON, strictly loaded, equal to the bit."""

import json
from collections.abc import Callable
from typing import Any

import nets
import pytest
import torch
from torch import Tensor, nn

from compressor.errors import ModelFileError
from compressor.models import InputSpec
from compressor.prune import prune_channels
from compressor.structure import apply_shapes, manifest_of

INPUTS = (2, 3, nets.SIZE, nets.SIZE)


def rebuilt(module: nn.Module, make: Callable[[], nn.Module]) -> nn.Module:
    manifest = json.loads(json.dumps(manifest_of(module)))
    fresh = apply_shapes(make(), manifest)
    fresh.load_state_dict(module.state_dict(), strict=True)
    return fresh.eval()


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("make", [nets.resnet18, nets.mobilenet_v2, nets.vgg])
def test_a_pruned_network_is_rebuilt_to_the_bit(make: Callable[[], nn.Module], scope: str) -> None:
    module = nets.settled(make)
    whole = sum(p.numel() for p in module.parameters())
    inputs = torch.randn(INPUTS)
    prune_channels(module, (inputs,), 0.5, scope=scope, round_to=8)
    assert sum(p.numel() for p in module.parameters()) < whole
    again = rebuilt(module.eval(), make)
    assert torch.equal(module(inputs), again(inputs))
    assert manifest_of(again) == manifest_of(module)


def test_the_manifest_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4))
    manifest = manifest_of(net)
    assert manifest["tensors"] == {
        "0.weight": [4, 1, 3, 3],
        "0.bias": [4],
        "1.weight": [4],
        "1.bias": [4],
        "1.running_mean": [4],
        "1.running_var": [4],
        "1.num_batches_tracked": [],
    }
    conv = manifest["attributes"]["0"]
    assert (conv["in_channels"], conv["out_channels"], conv["groups"], conv["kernel_size"]) == (2, 4, 2, [3, 3])
    assert manifest["attributes"]["1"] == {"num_features": 4}


class Heads(nn.Module):
    """Layers whose forward reads their integers, a bare parameter, and one weight used twice."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Embedding(5, width)
        self.norm = nn.LayerNorm(width)
        self.depthwise = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.scale = nn.Parameter(torch.rand(width))
        self.out = nn.Linear(width, 5, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm(self.embed(tokens))
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2) * self.scale
        logits: Tensor = self.out(x.unflatten(-1, (self.heads, -1)).softmax(-1).flatten(-2))
        return logits


def test_integers_bare_parameters_and_tied_weights_take_the_shape() -> None:
    narrow = Heads(6, 3).eval()
    again = rebuilt(narrow, Heads)
    assert isinstance(again, Heads)
    tokens = torch.tensor([[0, 3, 1]])
    assert torch.equal(narrow(tokens), again(tokens))
    assert (again.heads, again.depthwise.groups, again.norm.normalized_shape) == (3, 6, (6,))
    assert again.out.weight is again.embed.weight
    assert again.scale.requires_grad and isinstance(again.scale, nn.Parameter)


def test_a_network_that_fits_is_left_alone() -> None:
    net = Heads()
    before = {name: id(tensor) for name, tensor in net.named_parameters()}
    values = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    apply_shapes(net, manifest_of(Heads()))
    assert {name: id(tensor) for name, tensor in net.named_parameters()} == before
    assert all(torch.equal(tensor, values[name]) for name, tensor in net.state_dict().items())


def conv_and(*more: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), *more)


@pytest.mark.parametrize(
    ("saved", "factory", "said"),
    [
        (conv_and(nn.BatchNorm2d(2)), conv_and(), "not in the network: 1.weight [2]"),
        (conv_and(), conv_and(nn.BatchNorm2d(2)), "not in the file: 1.weight [2]"),
        (conv_and(), nn.Sequential(nn.Conv1d(1, 2, 3)), "0.weight has 3 axes in the network, 4 in the file"),
        (conv_and(nn.MaxPool2d(2)), conv_and(), "no submodule '1' in the network"),
    ],
)
def test_another_network_is_refused_by_name(saved: nn.Module, factory: nn.Module, said: str) -> None:
    before = [tuple(p.shape) for p in factory.parameters()]
    with pytest.raises(ModelFileError, match="is not the one that was saved") as caught:
        apply_shapes(factory, manifest_of(saved))
    assert said in caught.value.message and "--factory" in caught.value.hint
    assert [tuple(p.shape) for p in factory.parameters()] == before


def test_many_faults_are_counted_not_listed() -> None:
    saved = nn.Sequential(*(nn.Linear(1, 1) for _ in range(5)))
    with pytest.raises(ModelFileError, match=r"and 10 more"):
        apply_shapes(nn.Sequential(), manifest_of(saved))


def test_an_unsaved_buffer_of_another_shape_is_refused() -> None:
    class Positions(nn.Module):
        def __init__(self, length: int) -> None:
            super().__init__()
            self.register_buffer("index", torch.arange(length), persistent=False)

    with pytest.raises(ModelFileError, match=r"computed by the factory: \[4\], the file has \[3\]"):
        apply_shapes(Positions(4), manifest_of(Positions(3)))


def test_a_manifest_of_another_version_is_refused() -> None:
    manifest: dict[str, Any] = {**manifest_of(nn.Linear(1, 1)), "version": 2}
    with pytest.raises(ModelFileError, match="version 2"):
        apply_shapes(nn.Linear(1, 1), manifest)


class Places(nn.Module):
    """Computes where its inputs lie in the first call of a length, as ConViT does, and doesn't save it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("places", torch.zeros(1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.places) != x.shape[1]:
            self.places = torch.arange(x.shape[1], dtype=x.dtype)
        return x * self.places * self.scale


def test_what_a_network_computes_in_its_first_call_is_computed_again() -> None:
    used = Places()
    used(torch.ones(1, 5))
    spec = InputSpec(shape=(5,))
    with pytest.raises(ModelFileError, match="isn't saved but computed by the factory"):
        apply_shapes(Places(), manifest_of(used))
    found = apply_shapes(Places(), manifest_of(used), specs=(spec,))
    assert torch.equal(found.places, used.places)
    with pytest.raises(ModelFileError, match="isn't saved but computed by the factory"):
        apply_shapes(Places(), manifest_of(used), specs=(InputSpec(shape=(4,)),))
    # What a stranger's file calls its input's size is not believed.
    fresh = Places()
    with pytest.raises(ModelFileError, match="isn't saved but computed by the factory"):
        apply_shapes(fresh, manifest_of(used), specs=(InputSpec(shape=(7, 2**12, 2**12)),))
    assert len(fresh.places) == 1, "it was called"
