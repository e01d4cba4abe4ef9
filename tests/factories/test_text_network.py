"""Networks of transformers from plain values: shapes, changes, and what can't be built."""

import json

import pytest
import small_texts
import torch

from compressor.errors import InputError
from compressor.factories import build
from compressor.factories.text_network import (
    build_changed,
    changed,
    config_of,
    is_text_network,
    reference_of,
    text_network,
    with_classes,
)
from compressor.models import FactoryRef


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_a_reference_builds_the_same_network_again(kind: str) -> None:
    model = small_texts.encoder(kind)
    assert model.info.factory is not None
    read_back = FactoryRef.model_validate_json(model.info.factory.model_dump_json())
    built = build(read_back).eval()
    built.load_state_dict(model.module.state_dict(), strict=True)
    inputs = small_texts.inputs_of(model)
    with torch.no_grad():
        assert torch.equal(built(*inputs), small_texts.answers(model, inputs))
    again = reference_of(config_of(read_back.arguments["config"]), "text-classification")
    assert json.loads(again.model_dump_json()) == json.loads(read_back.model_dump_json())


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_names_of_settings_are_the_common_ones(kind: str) -> None:
    model = small_texts.encoder(kind)
    shallow = build_changed(model, num_hidden_layers=1)
    assert shallow.info.factory is not None
    assert config_of(shallow.info.factory.arguments["config"]).num_hidden_layers == 1
    fewer = set(model.module.state_dict()) - set(shallow.module.state_dict())
    assert bool(fewer) == (kind != "albert"), "ALBERT has one layer's weights, however often it runs them"


def test_classes_are_the_head_s_outputs() -> None:
    model = small_texts.encoder()
    assert model.info.factory is not None
    ref = with_classes(model.info.factory, ("x", "y", "z"))
    logits = build(ref).eval()(*small_texts.inputs_of(model))
    assert logits.shape == (6, 3)
    assert model.info.factory.arguments["config"]["id2label"] == {0: "bad", 1: "good"}, "the first is as it was"


def test_padding_changes_no_answer() -> None:
    model = small_texts.encoder("roberta")
    inputs = small_texts.inputs_of(model)
    alone = [int(mask.sum()) for mask in inputs[1]]
    together = small_texts.answers(model, inputs)
    for row, count in enumerate(alone):
        single = small_texts.answers(model, tuple(tensor[row : row + 1, :count] for tensor in inputs))
        torch.testing.assert_close(single[0], together[row], rtol=1e-4, atol=1e-5)


def test_what_cannot_be_built() -> None:
    with pytest.raises(InputError, match="no text task 'summaries'"):
        text_network({"model_type": "bert"}, "summaries")
    with pytest.raises(InputError, match="no network of type 'brt'"):
        text_network({"model_type": "brt"})
    with pytest.raises(InputError, match="builds no text-classification network"):
        text_network({"model_type": "vit"})
    with pytest.raises(InputError, match="takes no such configuration"):
        text_network({"model_type": "bert", "num_hidden_layers": "many"})


def test_only_this_factory_is_this_factory() -> None:
    model = small_texts.encoder()
    assert is_text_network(model.info.factory)
    assert not is_text_network(None)
    assert not is_text_network(FactoryRef(reference="timm:vit_tiny_patch16_224"))
    assert model.info.factory is not None
    assert changed(model.info.factory) == changed(changed(model.info.factory))
