"""Attention and feed-forward blocks by the names that each library gives them."""

import pytest
import small_texts
import timm
import torch
from torch import nn
from torchvision.models import vit_b_16

from compressor.blocks import attentions, feed_forwards

PLACES = {
    "bert": ("network.bert.encoder.layer.3.attention.self", "network.bert.encoder.layer.3.intermediate.dense"),
    "roberta": ("network.roberta.encoder.layer.3.attention.self", "network.roberta.encoder.layer.3.intermediate.dense"),
    "electra": ("network.electra.encoder.layer.3.attention.self", "network.electra.encoder.layer.3.intermediate.dense"),
    "distilbert": (
        "network.distilbert.transformer.layer.3.attention",
        "network.distilbert.transformer.layer.3.ffn.lin1",
    ),
    "mpnet": ("network.mpnet.encoder.layer.3.attention.attn", "network.mpnet.encoder.layer.3.intermediate.dense"),
    "deberta-v2": (
        "network.deberta.encoder.layer.3.attention.self",
        "network.deberta.encoder.layer.3.intermediate.dense",
    ),
    "albert": (
        "network.albert.encoder.albert_layer_groups.0.albert_layers.0.attention",
        "network.albert.encoder.albert_layer_groups.0.albert_layers.0.ffn",
    ),
}


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_every_block_of_every_encoder_is_found(kind: str) -> None:
    module = small_texts.encoder(kind).module
    blocks, pairs = attentions(module), feed_forwards(module)
    # ALBERT runs the one layer that it has four times.
    count = 1 if kind == "albert" else 4
    assert len(blocks) == len(pairs) == count
    assert (blocks[-1].path, pairs[-1].first) == PLACES[kind]
    assert {(block.heads, block.size, block.parts) for block in blocks} == {(4, 8, 1)}
    assert {pair.neurons for pair in pairs} == {64}
    assert {bool(block.places_attribute) for block in blocks} == {kind == "mpnet"}
    for block in blocks:
        assert getattr(module.get_submodule(block.path), block.heads_attribute) == 4
        assert len(set(block.inputs)) >= 3


@pytest.mark.parametrize("kind", small_texts.DECODERS)
def test_query_heads_that_share_a_key_and_a_value_are_one_head(kind: str) -> None:
    module = small_texts.encoder(kind).module
    blocks, pairs = attentions(module), feed_forwards(module)
    assert {(block.heads, block.size, block.queries) for block in blocks} == {(2, 16, 2)}
    assert blocks[3].path == "network.model.layers.3.self_attn"
    assert pairs[3].inputs == ("network.model.layers.3.mlp.up_proj", "network.model.layers.3.mlp.gate_proj")
    assert {pair.neurons for pair in pairs} == {64} and len(blocks) == len(pairs) == 4


@pytest.mark.parametrize(
    ("name", "settings", "blocks"),
    [
        ("vit_tiny_patch16_224", {"depth": 2, "img_size": 32}, 2),
        ("deit_tiny_distilled_patch16_224", {"depth": 2, "img_size": 32}, 2),
        ("swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1), "img_size": 56}, 4),
    ],
)
def test_blocks_of_vision_transformers(name: str, settings: dict[str, object], blocks: int) -> None:
    module = timm.create_model(name, num_classes=3, **settings)
    found = attentions(module)
    assert len(found) == len(feed_forwards(module)) == blocks
    assert all(block.parts == 3 and len(block.inputs) == 1 for block in found)
    assert {bool(block.table) for block in found} == {name.startswith("swin")}


def test_others_have_none() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    assert attentions(plain) == [] and feed_forwards(plain) == []
    with torch.device("meta"):
        # Its size of a head follows from the network's width, so heads can't go; neurons can.
        vision = vit_b_16()
    assert attentions(vision) == [] and len(feed_forwards(vision)) == 12


def test_layers_that_do_not_meet_are_no_pair() -> None:
    layer = nn.Module()
    layer.lin1, layer.lin2 = nn.Linear(4, 6), nn.Linear(5, 4)
    outer = nn.Module()
    outer.ffn = layer
    assert feed_forwards(outer) == []
    layer.lin2 = nn.Linear(6, 4)
    (pair,) = feed_forwards(outer)
    assert (pair.first, pair.second, pair.neurons) == ("ffn.lin1", "ffn.lin2", 6)
