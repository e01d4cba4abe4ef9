"""Folders that transformers opens and answers from, and that come back as they were."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import small_texts
import torch

from compressor.data.tokenizer import engine
from compressor.export.huggingface import is_expressible, write_huggingface
from compressor.loading import load_file
from compressor.models import TorchModel
from compressor.prune.configuration import narrowed
from compressor.prune.transformers import prune_blocks

TEXTS = ["a wonderful film", "", "the plot is dull from start to finish ; what a boring story"]


def answers_of_transformers(folder: Path, texts: list[str], pairs: list[str] | None = None) -> torch.Tensor:
    import transformers

    made: Any = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    batch = transformers.AutoTokenizer.from_pretrained(folder)(texts, pairs, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits: torch.Tensor = made.eval()(**batch).logits
    return logits


def own_answers(model: TorchModel, texts: list[str], pairs: list[str] | None = None) -> torch.Tensor:
    from compressor.data.texts import TextSplit

    assert model.info.tokenizer is not None
    split = TextSplit(tuple(texts), torch.zeros(len(texts)), None if pairs is None else tuple(pairs))
    return small_texts.answers(model, split.with_tokenizer(model.info.tokenizer).fetch(torch.arange(len(texts))))


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_transformers_gives_the_same_answers(kind: str, tmp_path: Path) -> None:
    model = small_texts.encoder(kind)
    assert write_huggingface(model.module, model.info, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    torch.testing.assert_close(answers_of_transformers(tmp_path, TEXTS), own_answers(model, TEXTS))
    pairs = TEXTS[::-1]
    torch.testing.assert_close(answers_of_transformers(tmp_path, TEXTS, pairs), own_answers(model, TEXTS, pairs))


def test_it_comes_back(tmp_path: Path) -> None:
    model = small_texts.encoder("roberta")
    write_huggingface(model.module, model.info, tmp_path)
    back = load_file(tmp_path)
    assert isinstance(back, TorchModel)
    ours, theirs = model.module.state_dict(), back.module.state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert back.info.classes == model.info.classes and back.info.tokenizer is not None
    assert model.info.tokenizer is not None and back.info.tokenizer.max_length == model.info.tokenizer.max_length
    ids = [engine(info.tokenizer).encode(TEXTS[0]).ids for info in (model.info, back.info) if info.tokenizer]
    assert ids[0] == ids[1]


def test_the_network_is_left_where_it_is(tmp_path: Path) -> None:
    model = small_texts.encoder()
    before = copy.deepcopy(model.module.state_dict())
    write_huggingface(model.module, model.info, tmp_path)
    assert all(torch.equal(before[key], value) for key, value in model.module.state_dict().items())
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_max_length"] == 64


def test_fewer_neurons_can_be_said_and_fewer_heads_cannot(tmp_path: Path) -> None:
    for heads, expressible in ((0.0, True), (0.5, False)):
        model = small_texts.encoder("distilbert")
        prune_blocks(model.module, heads=heads, neurons=0.5)
        info = narrowed(model.info, model.module)
        assert is_expressible(model.module, info) is expressible
        assert write_huggingface(model.module, info, tmp_path / str(heads)) is expressible
    pruned = small_texts.encoder("distilbert")
    prune_blocks(pruned.module, heads=0.0, neurons=0.5)
    torch.testing.assert_close(answers_of_transformers(tmp_path / "0.0", TEXTS), own_answers(pruned, TEXTS))
