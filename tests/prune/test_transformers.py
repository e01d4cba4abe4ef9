"""Heads and neurons that are gone: what remains answers as the whole network did with their outputs at zero."""

import copy
import json

import pytest
import small_texts
import torch
from random_networks import VISION, call, network
from timm.models.convit import MHSA
from timm.models.edgenext import CrossCovarianceAttn
from torch import nn

from compressor.blocks import attentions, feed_forwards
from compressor.errors import PlanError
from compressor.prune.transformers import is_transformer, prune_blocks
from compressor.structure import apply_shapes, manifest_of

ALL = pytest.mark.parametrize("kind", [*small_texts.KINDS, *small_texts.DECODERS, *VISION])


@ALL
def test_removed_heads_are_as_if_nobody_read_them(kind: str) -> None:
    module, inputs = network(kind)
    whole = copy.deepcopy(module)
    before = call(module, inputs)
    prune_blocks(module, heads=0.5, neurons=0.0)
    for old, new in zip(attentions(whole), attentions(module), strict=True):
        assert (new.heads, new.size) == (old.heads // 2, old.size)
        columns = whole.get_submodule(old.output).weight
        kept = module.get_submodule(new.output).weight.view(-1, new.heads, new.size)
        of_head = columns.view(-1, old.heads, old.size)
        matches = [
            [torch.equal(of_head[:, head], kept[:, place]) for place in range(new.heads)] for head in range(old.heads)
        ]
        assert sum(map(sum, matches)) == new.heads, "each head that stayed is one of the old"
        with torch.no_grad():
            of_head[:, [head for head, found in enumerate(matches) if not any(found)]] = 0
    wanted = call(whole, inputs)
    assert not torch.allclose(wanted, before, atol=1e-3)
    torch.testing.assert_close(call(module, inputs), wanted, rtol=1e-4, atol=1e-5)


@ALL
def test_removed_neurons_are_as_if_nobody_read_them(kind: str) -> None:
    module, inputs = network(kind)
    whole = copy.deepcopy(module)
    before = call(module, inputs)
    prune_blocks(module, heads=0.0, neurons=0.5)
    for old, new in zip(feed_forwards(whole), feed_forwards(module), strict=True):
        assert new.neurons == old.neurons // 2
        columns, kept = whole.get_submodule(old.second).weight, module.get_submodule(new.second).weight
        stayed = (columns[:, :, None] == kept[:, None, :]).all(0).any(1)
        assert int(stayed.sum()) == new.neurons
        with torch.no_grad():
            columns[:, ~stayed] = 0
    wanted = call(whole, inputs)
    assert not torch.allclose(wanted, before, atol=1e-3)
    torch.testing.assert_close(call(module, inputs), wanted, rtol=1e-4, atol=1e-5)


@ALL
def test_the_structure_rebuilds_what_was_narrowed(kind: str) -> None:
    module, inputs = network(kind)
    fresh = copy.deepcopy(module)
    prune_blocks(module, heads=0.5, neurons=0.5)
    rebuilt = apply_shapes(fresh, json.loads(json.dumps(manifest_of(module))))
    rebuilt.load_state_dict(module.state_dict(), strict=True)
    assert torch.equal(call(rebuilt, inputs), call(module, inputs))


def loud(module: nn.Module, path: str, row: int, width: int) -> None:
    with torch.no_grad():
        module.get_submodule(path).weight[row * width : (row + 1) * width] = 3.0


def test_magnitude_keeps_what_is_large() -> None:
    module, _ = network("bert")
    block, pair = attentions(module)[2], feed_forwards(module)[1]
    for head in (0, 3):
        loud(module, block.inputs[1], head, block.size)
    for neuron in range(5, 13):
        loud(module, pair.first, neuron, 1)
    rows = module.get_submodule(block.inputs[0]).weight.clone()
    neurons = module.get_submodule(pair.first).weight.clone()
    report = prune_blocks(module, heads=0.5, neurons=0.875, round_to=8)
    kept = torch.cat([rows[:8], rows[24:]])
    assert torch.equal(module.get_submodule(block.inputs[0]).weight, kept)
    assert torch.equal(module.get_submodule(pair.first).weight, neurons[5:13])
    assert report.before[block.path] == 4 and report.after[block.path] == 2
    assert report.removed[pair.first] == 56


def test_taylor_keeps_what_the_loss_needs() -> None:
    """Of equal heads and neurons those whose weights have gradients."""
    module, _ = network("bert")
    block, pair = attentions(module)[0], feed_forwards(module)[0]
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for path in (*block.inputs, block.output, pair.first, pair.second):
        module.get_submodule(path).weight.data.fill_(1.0)
    module.get_submodule(block.output).weight.grad[:, 16:24] = -0.5
    module.get_submodule(pair.first).weight.grad[40:48] = 0.5
    marked = module.get_submodule(block.inputs[2]).bias.data
    marked.copy_(torch.arange(32.0))
    biases = module.get_submodule(pair.first).bias.data
    biases.copy_(torch.arange(64.0))
    prune_blocks(module, heads=0.75, neurons=0.875, importance="taylor")
    assert module.get_submodule(block.inputs[2]).bias.tolist() == list(range(16, 24))
    assert module.get_submodule(pair.first).bias.tolist() == list(range(40, 48))
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_gate_counts_for_its_neurons_and_keys_for_all_their_queries() -> None:
    """Of two groups the one whose keys are large stays, of sixty-four neurons those whose gates are."""
    module, _ = network("qwen2")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.1)
    block, pair = attentions(module)[0], feed_forwards(module)[0]
    queries = module.get_submodule(block.inputs[0]).bias.data.copy_(torch.arange(32.0))
    loud(module, block.inputs[1], 1, 8)
    for neuron in range(40, 48):
        loud(module, pair.gate, neuron, 1)
    module.get_submodule(pair.second).weight.data.copy_(torch.arange(64.0) / 1e3)
    prune_blocks(module, heads=0.5, neurons=0.875)
    assert module.get_submodule(block.inputs[0]).bias.tolist() == queries[16:].tolist()
    assert [layer.out_features for layer in map(module.get_submodule, block.inputs)] == [16, 8, 8]
    second = module.get_submodule(pair.second)
    assert torch.equal(second.weight[0], torch.arange(40.0, 48.0) / 1e3) and second.in_features == 8


def test_random_is_seeded() -> None:
    states = []
    for seed in (0, 0, 1):
        module, _ = network("roberta")
        prune_blocks(module, heads=0.5, neurons=0.5, importance="random", seed=seed)
        states.append(module.state_dict())
    same, other = (all(torch.equal(states[0][key], states[at][key]) for key in states[0]) for at in (1, 2))
    assert same and not other


@pytest.mark.parametrize(
    ("heads", "neurons", "round_to", "left"),
    [
        (0.99, 0.99, 8, (1, 8)),
        (0.3, 0.3, 8, (3, 48)),
        (0.0, 0.0, 8, (4, 64)),
        (0.5, 0.5, 1, (2, 32)),
        (0.1, 0.6, 48, (4, 48)),
    ],
)
def test_how_many_stay(heads: float, neurons: float, round_to: int, left: tuple[int, int]) -> None:
    module, inputs = network("distilbert")
    report = prune_blocks(module, heads=heads, neurons=neurons, round_to=round_to)
    assert {report.after[block.path] for block in attentions(module)} == {left[0]}
    assert {pair.neurons for pair in feed_forwards(module)} == {left[1]}
    assert call(module, inputs).isfinite().all()


def test_skipped_blocks_stay() -> None:
    module, _ = network("bert")
    skipped = "network.bert.encoder.layer.1"
    report = prune_blocks(module, heads=0.5, neurons=0.5, ignored=[skipped])
    assert [block.heads for block in attentions(module)] == [2, 4, 2, 2]
    assert [pair.neurons for pair in feed_forwards(module)] == [32, 64, 32, 32]
    assert set(report.kept) == {f"{skipped}.attention.self", f"{skipped}.intermediate.dense"}
    assert not any(path.startswith(skipped) for path in report.before)


def test_blocks_that_share_a_table_of_positions_keep_heads_of_their_own() -> None:
    module, _ = network("mpnet")
    table = module.get_submodule("network.mpnet.encoder.relative_attention_bias")
    columns = table.weight.clone()
    blocks = attentions(module)
    kept = [(0, 3), (1, 2), (0, 1), (2, 3)]
    for block, heads in zip(blocks, kept, strict=True):
        for head in heads:
            loud(module, block.inputs[0], head, block.size)
    prune_blocks(module, heads=0.5, neurons=0.0)
    assert [tuple(module.get_submodule(block.path).heads) for block in attentions(module)] == kept
    assert torch.equal(table.weight, columns)
    # What is pruned again counts places in the table, not in what is left.
    loud(module, blocks[3].inputs[0], 1, blocks[3].size * 2)
    prune_blocks(module, heads=0.5, neurons=0.0)
    assert module.get_submodule(blocks[3].path).heads in ([2], [3])


@pytest.mark.parametrize("block", [CrossCovarianceAttn(16, num_heads=4), MHSA(16, num_heads=4)])
def test_attention_that_cannot_be_called_with_fewer_heads_is_left_to_its_channels(block: nn.Module) -> None:
    """One keeps a temperature per head that nobody knows of, one computes a head's size from the width."""
    inputs = (torch.randn(2, 9, 16),)
    assert attentions(block)
    assert not is_transformer(block, inputs)
    block(*inputs)


def test_only_transformers_and_their_rankings() -> None:
    assert is_transformer(*network("swin"))
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    assert not is_transformer(plain, (torch.randn(1, 3, 3, 3),))
    with pytest.raises(PlanError, match="a transformer has no BatchNorm"):
        prune_blocks(network("bert")[0], heads=0.5, neurons=0.5, importance="bn-scale")
    with pytest.raises(PlanError, match="'lamp': it compares layers"):
        prune_blocks(network("bert")[0], heads=0.5, neurons=0.5, importance="lamp")
