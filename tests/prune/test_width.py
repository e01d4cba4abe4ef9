"""Channels that are gone: what remains answers as the whole network did whose norms and readers don't see them."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import small_texts
import timm
import torch
import torchvision
from random_networks import VISION, call, network
from torch import Tensor, nn
from torch.nn import functional

from compressor.blocks import attentions, feed_forwards
from compressor.errors import PlanError
from compressor.prune.width import STREAM, prune_width
from compressor.structure import apply_shapes, manifest_of

# Swin has several widths.
ONE_STREAM = [kind for kind in VISION if kind != "swin"]
# Layers that give the stream its channels with no norm behind them.
BARE = ("embeddings_project", "embedding_hidden_mapping_in")
# Layers of the head that are as wide as the stream, with outputs of their own.
HEAD = ("pooler.dense", "pooler", "pre_classifier", "classifier.dense")
WIDTH = 32


def kept_rows(whole: Tensor, narrow: Tensor) -> Tensor:
    """Places of the rows of ``narrow`` among those of ``whole``, rising, each found once."""
    same = (whole[:, None] == narrow[None]).flatten(2).all(2)
    assert bool((same.sum(0) == 1).all())
    return same.any(1).nonzero().flatten()


def hide(module: nn.Module, gone: Tensor) -> None:
    """Norms that see but the channels that stay, and give zeros for the others; bare layers give zeros for them."""

    def over_the_kept(norm: nn.LayerNorm) -> Callable[..., Tensor]:
        def forward(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> Tensor:
            values = inputs[0][..., ~gone]
            values = functional.layer_norm(values, values.shape[-1:], norm.weight[~gone], norm.bias[~gone], norm.eps)
            return torch.zeros_like(inputs[0]).index_copy(-1, (~gone).nonzero().flatten(), values)

        return forward

    def rms_over_the_kept(norm: Any) -> Callable[..., Tensor]:
        def forward(_: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> Tensor:
            mean = inputs[0][..., ~gone].square().mean(-1, keepdim=True)
            return ~gone * norm.weight * inputs[0] * (mean + norm.variance_epsilon).rsqrt()

        return forward

    for path, child in module.named_modules():
        if type(child).__name__.endswith("RMSNorm"):
            child.register_forward_hook(rms_over_the_kept(child))
        elif isinstance(child, nn.LayerNorm) and child.normalized_shape == (WIDTH,):
            child.register_forward_hook(over_the_kept(child))
        elif path.rpartition(".")[2] in BARE:
            child.register_forward_hook(lambda _, __, output: output * ~gone)


ALL = pytest.mark.parametrize("kind", [*small_texts.KINDS, *small_texts.DECODERS, *ONE_STREAM])


@ALL
def test_removed_channels_are_as_if_no_norm_and_no_reader_saw_them(kind: str) -> None:
    module, inputs = network(kind)
    whole = copy.deepcopy(module)
    before = call(module, inputs)
    report = prune_width(module, inputs, 0.25)
    assert report.before == {STREAM: WIDTH} and report.after == {STREAM: 24}
    path = attentions(module)[0].inputs[0]
    stayed = kept_rows(whole.get_submodule(path).weight.T, module.get_submodule(path).weight.T)
    gone = torch.ones(WIDTH, dtype=torch.bool)
    gone[stayed] = False
    hide(whole, gone)
    for path, child in module.named_modules():
        if isinstance(child, nn.Linear) and path.endswith(HEAD):
            assert child.weight.shape == (24, 24)
            rows = kept_rows(whole.get_submodule(path).weight[:, stayed], child.weight)
            mask = torch.zeros(WIDTH).index_fill(0, rows, 1.0)
            whole.get_submodule(path).register_forward_hook(lambda _, __, output, mask=mask: output * mask)
    wanted = call(whole, inputs)
    assert not torch.allclose(wanted, before, atol=1e-3)
    torch.testing.assert_close(call(module, inputs), wanted, rtol=1e-4, atol=1e-5)


@ALL
def test_heads_and_neurons_stay_and_nothing_else_is_as_wide_as_before(kind: str) -> None:
    module, inputs = network(kind)
    blocks, pairs = attentions(module), feed_forwards(module)
    prune_width(module, inputs, 0.5)
    assert attentions(module) == blocks and feed_forwards(module) == pairs
    width = module.get_submodule(blocks[0].inputs[0]).in_features
    assert width == (24 if kind == "electra" else 16)
    for block, pair in zip(blocks, pairs, strict=False):
        assert module.get_submodule(block.output).weight.shape == (width, 32)
        assert module.get_submodule(pair.second).out_features == width
    for child in module.modules():
        assert not isinstance(child, nn.LayerNorm) or child.normalized_shape[0] in (16, width)


@ALL
def test_the_structure_rebuilds_what_was_narrowed(kind: str) -> None:
    module, inputs = network(kind)
    fresh = copy.deepcopy(module)
    prune_width(module, inputs, 0.25)
    rebuilt = apply_shapes(fresh, json.loads(json.dumps(manifest_of(module))))
    rebuilt.load_state_dict(module.state_dict(), strict=True)
    assert torch.equal(call(rebuilt, inputs), call(module, inputs))


def test_magnitude_is_the_sum_of_squares_over_all_that_has_a_channel() -> None:
    """A channel that one tensor alone makes large: sixteen weights of 0.5 are 4, above thirty of 0.2, which are 1.2."""
    module, inputs = network("bert")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.0)
    wanted = [1, 4, 6, 9, 12, 19, 25, 30]
    others = [place for place in range(WIDTH) if place not in wanted]
    layer = "network.bert.encoder.layer.2."
    with torch.no_grad():
        module.get_submodule(f"{layer}intermediate.dense").weight[:30, others] = 0.2
        module.get_submodule(f"{layer}output.dense").weight[wanted[:4], :16] = 0.5
        module.get_submodule("network.bert.embeddings.word_embeddings").weight[:16, wanted[4:6]] = 0.5
        module.get_submodule("network.bert.encoder.layer.0.attention.output.LayerNorm").weight[wanted[6:]] = 1.2
        module.get_submodule("network.bert.embeddings.LayerNorm").bias.copy_(torch.arange(32.0) / 100)
    prune_width(module, inputs, 0.75)
    biases = module.get_submodule("network.bert.embeddings.LayerNorm").bias
    assert [round(100 * value) for value in biases.tolist()] == wanted


def test_taylor_keeps_what_the_loss_needs_and_narrows_gradients() -> None:
    module, inputs = network("distilbert")
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    table = module.get_submodule("network.distilbert.embeddings.position_embeddings").weight
    table.data.fill_(1.0)
    table.data[0] = torch.arange(32.0)
    table.grad[3, 8:16] = -0.5
    prune_width(module, inputs, 0.75, importance="taylor")
    table = module.get_submodule("network.distilbert.embeddings.position_embeddings").weight
    assert table[0].tolist() == list(range(8, 16))
    assert table.grad.shape == (64, 8) and table.grad[3].tolist() == [-0.5] * 8


def test_random_is_seeded_and_frozen_parameters_stay_frozen() -> None:
    states = []
    for seed in (0, 0, 1):
        module, inputs = network("roberta")
        module.requires_grad_(False)
        module.train()
        prune_width(module, inputs, 0.5, importance="random", seed=seed)
        assert module.training and not any(parameter.requires_grad for parameter in module.parameters())
        states.append(module.state_dict())
    same, other = (all(torch.equal(states[0][key], states[at][key]) for key in states[0]) for at in (1, 2))
    assert same and not other


@pytest.mark.parametrize(
    ("kind", "share", "round_to", "stays"),
    [
        ("bert", 0.99, 8, 8),
        ("bert", 0.05, 8, 32),
        ("bert", 0.3, 8, 24),
        ("bert", 0.3, 12, 24),
        ("vit", 0.3, 1, 22),
        # As wide as the embeddings, ELECTRA would have no layer between them and the stream.
        ("electra", 0.5, 8, 24),
        ("albert", 0.5, 8, 16),
        ("electra", 0.75, 8, 8),
    ],
)
def test_how_many_stay(kind: str, share: float, round_to: int, stays: int) -> None:
    module, inputs = network(kind)
    assert prune_width(module, inputs, share, round_to=round_to).after == {STREAM: stays}
    assert call(module, inputs).isfinite().all()


def swin() -> nn.Module:
    made: nn.Module = timm.create_model(VISION["swin"][0], num_classes=3, **VISION["swin"][1])
    return made


def of_torchvision() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=3)


def without_a_head() -> nn.Module:
    name, settings = VISION["vit"]
    made: nn.Module = timm.create_model(name, num_classes=0, **settings)
    return made


@pytest.mark.parametrize(
    ("make", "size", "message"),
    [
        (swin, 56, r"SwinTransformer has stages of several widths \(16, 32, 64, 128\)"),
        (of_torchvision, 32, "VisionTransformer has no attention whose heads have a size of their own"),
        (without_a_head, 32, "the answers of VisionTransformer are the channels themselves"),
    ],
)
def test_networks_without_one_stream_are_refused(make: Callable[[], nn.Module], size: int, message: str) -> None:
    module = make()
    shapes = manifest_of(module)
    with pytest.raises(PlanError, match=message):
        prune_width(module, (torch.zeros(2, 3, size, size),), 0.5)
    assert manifest_of(module) == shapes


def test_vectors_of_texts_keep_their_width() -> None:
    model = small_texts.encoder("bert", task="sentence-embedding")
    with pytest.raises(PlanError, match="the answers of BertModel are the channels themselves"):
        prune_width(model.module, small_texts.inputs_of(model), 0.5)


def test_a_ranking_of_convolutions_is_refused() -> None:
    module, inputs = network("bert")
    with pytest.raises(PlanError, match="a transformer has no BatchNorm"):
        prune_width(module, inputs, 0.5, importance="bn-scale")
