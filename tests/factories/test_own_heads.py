"""Columns of a table that all blocks share, for the heads that each of them has."""

import copy

import small_texts
import torch
from torch import nn

from compressor.factories.own_heads import HEADS, give_own_heads


def attention(module: nn.Module, layer: int) -> nn.Module:
    return module.get_submodule(f"network.mpnet.encoder.layer.{layer}.attention.attn")


def test_a_block_of_fewer_heads_adds_their_columns_alone() -> None:
    """Of two heads without weights for queries, so that positions alone say what is attended to."""
    module = small_texts.encoder("mpnet").module
    block = attention(module, 1)
    states, bias = torch.randn(2, 5, 32), torch.randn(1, 4, 5, 5)
    for path in ("q", "k"):
        layer = getattr(block, path)
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    whole = block(states, None, bias, output_attentions=True)[1]
    torch.testing.assert_close(whole, bias.softmax(-1).expand(2, -1, -1, -1))
    for path in ("q", "k", "v"):
        layer = getattr(block, path)
        layer.weight.data, layer.bias.data = layer.weight.data[8:24], layer.bias.data[8:24]
    block.o.weight.data = block.o.weight.data[:, 8:24]
    block.num_attention_heads, block.all_head_size = 2, 16
    setattr(block, HEADS, [1, 2])
    torch.testing.assert_close(block(states, None, bias, output_attentions=True)[1], whole[:, 1:3])


def test_given_once_and_to_mpnet_alone() -> None:
    module = small_texts.encoder("mpnet").module
    kind = type(attention(module, 0))
    assert getattr(attention(module, 0), HEADS) == [0, 1, 2, 3]
    setattr(attention(module, 0), HEADS, [3])
    give_own_heads(module)
    assert type(attention(module, 0)) is kind and getattr(attention(module, 0), HEADS) == [3]
    assert getattr(attention(copy.deepcopy(module), 0), HEADS) == [3]
    other = small_texts.encoder("bert").module
    kinds = [type(child) for child in other.modules()]
    give_own_heads(other)
    assert [type(child) for child in other.modules()] == kinds
