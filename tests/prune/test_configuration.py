"""What the configuration says after pruning: never anything that isn't so, and all of it where it can."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import small_texts

from compressor.errors import InputError
from compressor.export.huggingface import is_expressible, write_configuration
from compressor.factories.text_network import config_of
from compressor.models import ModelInfo, TorchModel
from compressor.prune.configuration import narrowed, width_step
from compressor.prune.transformers import prune_blocks
from compressor.prune.width import prune_width


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_the_configuration_says_how_many_neurons_there_are(kind: str) -> None:
    model = small_texts.encoder(kind)
    prune_blocks(model.module, heads=0.0, neurons=0.5)
    info = narrowed(model.info, model.module)
    assert info.factory is not None
    config = config_of(info.factory.arguments["config"])
    assert (config.hidden_dim if kind == "distilbert" else config.intermediate_size) == 32


def uneven(model: TorchModel) -> TorchModel:
    prune_blocks(model.module, heads=0.0, neurons=0.5, ignored=["network.bert.encoder.layer.1"])
    return model


@pytest.mark.parametrize(
    "make", [uneven, lambda model: TorchModel(model.module, model.info.model_copy(update={"factory": None}))]
)
def test_of_uneven_layers_the_configuration_says_nothing(make: Callable[[TorchModel], TorchModel]) -> None:
    model = make(small_texts.encoder("bert"))
    assert narrowed(model.info, model.module) == model.info


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_the_configuration_says_how_wide_the_network_is(kind: str) -> None:
    model = small_texts.encoder(kind)
    prune_width(model.module, small_texts.inputs_of(model), 0.25)
    info = narrowed(model.info, model.module)
    assert info.factory is not None
    config = config_of(info.factory.arguments["config"])
    assert (config.hidden_size, config.num_attention_heads) == (24, 4)
    assert not is_expressible(model.module, info)


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_as_many_heads_less_as_width_can_be_said(kind: str) -> None:
    model = small_texts.encoder(kind)
    prune_width(model.module, small_texts.inputs_of(model), 0.25)
    prune_blocks(model.module, heads=0.25, neurons=0.5)
    info = narrowed(model.info, model.module)
    assert info.factory is not None
    config = config_of(info.factory.arguments["config"])
    # MPNet's table of positions keeps a column for every head that there was: each block reads others of them.
    said = kind != "mpnet"
    assert (config.hidden_size, config.num_attention_heads) == (24, 3 if said else 4)
    assert is_expressible(model.module, info) == said


@pytest.mark.parametrize("kind", small_texts.DECODERS)
def test_of_a_decoder_everything_can_be_said(kind: str) -> None:
    model = small_texts.encoder(kind)
    prune_width(model.module, small_texts.inputs_of(model), 0.25)
    prune_blocks(model.module, heads=0.5, neurons=0.5)
    info = narrowed(model.info, model.module)
    assert info.factory is not None
    config = config_of(info.factory.arguments["config"])
    assert (config.hidden_size, config.intermediate_size, config.head_dim) == (24, 32, 8)
    assert (config.num_attention_heads, config.num_key_value_heads) == (2, 1)
    assert is_expressible(model.module, info)


def test_the_usual_width_of_a_head_is_said_too(tmp_path: Path) -> None:
    """Llama's class takes 128 for granted, and computes another from another width."""
    model = small_texts.encoder("llama", hidden_size=512, num_hidden_layers=1)
    prune_width(model.module, small_texts.inputs_of(model), 0.25)
    info = narrowed(model.info, model.module)
    assert is_expressible(model.module, info)
    write_configuration(info, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["hidden_size"], written["head_dim"], written["num_attention_heads"]) == (384, 128, 4)


def test_heads_that_the_width_is_no_multiple_of_can_not_be_said() -> None:
    model = small_texts.encoder("bert")
    prune_blocks(model.module, heads=0.25, neurons=0.0)
    info = narrowed(model.info, model.module)
    assert info == model.info and not is_expressible(model.module, info)


def test_a_width_is_a_multiple_of_the_heads() -> None:
    assert width_step(small_texts.encoder("bert").info, 8) == 8
    assert width_step(small_texts.encoder("distilbert").info, 6) == 12
    assert width_step(ModelInfo(), 8) == 8
    model = small_texts.encoder("bert")
    prune_width(model.module, small_texts.inputs_of(model), 0.3, round_to=2)
    with pytest.raises(InputError, match="22"):
        narrowed(model.info, model.module)
