"""A text network as a folder that transformers opens: configuration, weights, tokenizer."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save as bytes_of_tensors
from torch import nn

from compressor.export.sentence_files import write_sentence_files
from compressor.factories.low_rank import RANK
from compressor.factories.sentence_network import EMBEDDING
from compressor.factories.text_network import config_of, said_by, text_network
from compressor.models import ModelInfo
from compressor.structure import manifest_of
from compressor.writing import write_atomically

PREFIX = "network."
# Beside a network that its configuration doesn't describe: the shapes of its tensors, for our own loader.
SHAPES = "shapes.json"


def write_huggingface(module: nn.Module, info: ModelInfo, folder: Path) -> bool:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer's files, and ``shapes.json`` where it is needed.

    An encoder that gives a vector a text is written so that sentence-transformers opens it, too.

    Args:
        module: A ``TextNetwork`` or ``SentenceNetwork``, on any device; left untouched.
        info: Gives configuration, class names and tokenizer.
        folder: Made if it isn't there.

    Returns:
        Whether transformers builds this network from the configuration alone. It doesn't where heads were
        pruned: it computes the size of a head from the network's width; nor word vectors of low rank.
    """
    write_configuration(info, folder)
    assert info.factory is not None
    if info.factory.arguments["task"] == EMBEDDING:
        write_sentence_files(info, config_of(info.factory.arguments["config"]).hidden_size, folder)
    state = {key.removeprefix(PREFIX): value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    write_atomically(folder / "model.safetensors", bytes_of_tensors(state, metadata={"format": "pt"}))
    expressible = is_expressible(module, info)
    if not expressible:
        write_atomically(folder / SHAPES, json.dumps(manifest_of(module)).encode())
    return expressible


def write_configuration(info: ModelInfo, folder: Path) -> None:
    """Write ``config.json`` and the tokenizer's files alone."""
    assert info.factory is not None and info.tokenizer is not None
    config = config_of(info.factory.arguments["config"])
    write_atomically(folder / "config.json", json.dumps(said_by(config), indent=2, sort_keys=True).encode())
    write_atomically(folder / "tokenizer.json", info.tokenizer.content.encode())
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **info.tokenizer.config}
    settings["model_max_length"] = info.tokenizer.max_length
    # Or the second text of a pair would pass for the first.
    settings["model_input_names"] = list(info.tokenizer.inputs)
    write_atomically(folder / "tokenizer_config.json", json.dumps(settings, indent=1).encode())


def is_expressible(module: nn.Module, info: ModelInfo) -> bool:
    """Whether transformers makes a network of this shape from the configuration alone."""
    assert info.factory is not None
    if info.factory.arguments["config"].get(RANK):
        return False
    return manifest_of(text_network(**info.factory.arguments)) == manifest_of(module)
