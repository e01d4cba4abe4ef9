"""Folders of sentence-transformers, as its versions wrote them, and the chains that aren't understood."""

import json
from pathlib import Path
from typing import Any

import encoders
import pytest
import torch

from compressor.errors import ModelFileError
from compressor.loading import load_file
from compressor.loading.sentence_files import is_sentence_folder, longest_in, pooling_in
from compressor.models import TorchModel

OLD = "sentence_transformers.models."
NEW = "sentence_transformers.sentence_transformer.modules.pooling."


def write(
    folder: Path,
    pooling: dict[str, Any],
    kinds: tuple[str, ...] = (f"{OLD}Transformer", f"{OLD}Pooling", f"{OLD}Normalize"),
) -> Path:
    paths = ["", *(f"{place}_{kind.rpartition('.')[2]}" for place, kind in enumerate(kinds[1:], start=1))]
    modules = [{"idx": i, "name": str(i), "path": paths[i], "type": kind} for i, kind in enumerate(kinds)]
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    ("pooling", "wanted"),
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False}, "cls"),
        ({"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True}, "mean"),
        ({"embedding_dimension": 32, "pooling_mode": "cls"}, "cls"),
    ],
)
def test_both_ways_to_say_how_it_pools(pooling: dict[str, Any], wanted: str, tmp_path: Path) -> None:
    assert pooling_in(write(tmp_path, pooling)) == wanted
    assert pooling_in(write(tmp_path, pooling, (f"{OLD}Transformer", f"{NEW}Pooling"))) == wanted
    assert is_sentence_folder(tmp_path) and not is_sentence_folder(tmp_path / "1_Pooling")


@pytest.mark.parametrize(
    ("pooling", "words"),
    [
        ({"pooling_mode_max_tokens": True}, "pools by pooling_mode_max_tokens; wanted one of mean, cls"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "pools by pooling_mode_max_tokens, "),
        ({"pooling_mode": "lasttoken"}, "pools by lasttoken"),
        ({}, "pools by None"),
    ],
)
def test_other_poolings_are_refused(pooling: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=words):
        pooling_in(write(tmp_path, pooling))


def test_other_chains_and_damaged_files_are_refused(tmp_path: Path) -> None:
    kinds = (f"{OLD}Transformer", f"{OLD}Pooling", f"{OLD}Dense")
    with pytest.raises(ModelFileError, match="a chain of Transformer, Pooling, Dense"):
        pooling_in(write(tmp_path, {"pooling_mode": "mean"}, kinds))
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(ModelFileError, match=r"modules.json is not JSON"):
        pooling_in(tmp_path)
    (tmp_path / "modules.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"modules.json is an object, not a list"):
        pooling_in(tmp_path)


def test_a_folder_says_its_task_pooling_and_length(tmp_path: Path) -> None:
    encoders.encoder_folder(tmp_path, task="sentence-embedding")
    plain = load_file(tmp_path)
    assert plain.info.task == "text-classification" and plain.info.tokenizer is not None
    assert longest_in(tmp_path) is None and not plain.info.tokenizer.apart
    write(tmp_path, {"pooling_mode": "cls"})
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 20, "do_lower_case": false}')
    model = load_file(tmp_path)
    assert isinstance(model, TorchModel) and model.info.tokenizer is not None and model.info.factory is not None
    assert model.info.task == "sentence-embedding" and model.info.untrained == () and model.info.classes == ()
    assert model.info.tokenizer.apart and model.info.tokenizer.max_length == 20
    assert model.module.pooling == "cls" and model.info.factory.arguments["config"]["sentence_pooling"] == "cls"
    # With a head it is a pretrained network like any other.
    classifier = load_file(tmp_path, task="text-classification")
    assert any(name.startswith("classifier.") for name in classifier.info.untrained)


@pytest.mark.parametrize("kind", encoders.KINDS)
def test_the_body_of_any_network_is_an_encoder(kind: str, tmp_path: Path) -> None:
    """A classifier's head, and a pooler, are no part of it."""
    import transformers

    encoders.encoder_folder(tmp_path, kind)
    model = load_file(tmp_path, task="sentence-embedding")
    assert isinstance(model, TorchModel) and model.info.untrained == ()
    assert not any("pooler" in name or "classifier" in name for name, _ in model.module.named_parameters())
    body = transformers.AutoModel.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[5, 9, 12], [7, 11, 4]])
    with torch.no_grad():
        mean = body(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(dim=1)
        found = model.module(ids, torch.ones_like(ids))
    torch.testing.assert_close(found, mean / mean.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    from safetensors.torch import load_file as read
    from safetensors.torch import save_file

    path = encoders.encoder_folder(tmp_path, task="sentence-embedding") / "model.safetensors"
    tensors = {name: value for name, value in read(path).items() if "layer.3" not in name}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelFileError, match=r"no weights for 16 of the network's tensors: encoder.layer.3"):
        load_file(tmp_path, task="sentence-embedding")
