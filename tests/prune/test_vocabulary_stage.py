"""The vocabulary stage: what it keeps, what it says, and that data and network go on together."""

from dataclasses import replace
from pathlib import Path

import pytest
import small
import small_texts
import torch

from compressor.data.tokenizer import engine
from compressor.errors import PlanError
from compressor.loading import load_form, save_form
from compressor.models import ModelInfo, TorchModel
from compressor.prune.vocabulary_stage import Vocabulary
from compressor.training import TrainSettings, evaluate

ONCE = TrainSettings(epochs=1, batch_size=32, lr=1e-3, precision="fp32")


def test_every_token_of_the_data_stays_and_nothing_is_lost(tmp_path: Path) -> None:
    model = small_texts.encoder("deberta-v2")
    ctx = small_texts.text_context(tmp_path, model)
    assert model.info.tokenizer is not None
    before = engine(model.info.tokenizer).get_vocab_size()
    (note,) = Vocabulary().rehearse(model, ctx).notes
    result = Vocabulary().run(small_texts.encoder("deberta-v2"), ctx)
    assert isinstance(result.model, TorchModel) and result.model.info.tokenizer is not None
    metrics = result.metrics
    assert metrics["tokens_before"] == before > metrics["tokens_after"]
    assert note == f"{metrics['tokens_after']} of {before} tokens stay"
    assert metrics["validation_trimmed"] == metrics["validation_before"]
    assert metrics["tokens_per_text_after"] == metrics["tokens_per_text_before"] > 5
    seen = replace(ctx, data=ctx.data.seen_by(result.model.info.tokenizer))
    assert evaluate(result.model.module, seen, "test").value == evaluate(model.module, ctx, "test").value
    save_form(result.model, tmp_path / "saved", seen.task.example_inputs(seen.data, 8))
    back = load_form(tmp_path / "saved")
    assert isinstance(back, TorchModel)
    inputs = seen.data.batch("test", torch.arange(8)).inputs
    assert torch.equal(small_texts.answers(back, inputs), small_texts.answers(result.model, inputs))


def test_rare_tokens_are_spelled_and_the_network_recovers(tmp_path: Path) -> None:
    ctx = small_texts.text_context(tmp_path, small_texts.encoder("bert"))
    whole = Vocabulary().run(small_texts.encoder("bert"), ctx).metrics
    result = Vocabulary(min_count=10, train=ONCE).run(small_texts.encoder("bert"), ctx)
    metrics = result.metrics
    assert metrics["tokens_after"] < whole["tokens_after"]
    assert metrics["tokens_per_text_after"] > metrics["tokens_per_text_before"]
    assert metrics["steps"] == 2 and len(metrics["history"]) == 1
    assert metrics["validation_recovered"] >= metrics["validation_trimmed"]
    # What spelled the rarer tokens stays only where something is spelled with it.
    spec = result.model.info.tokenizer
    assert spec is not None
    used = set(ctx.data.seen_by(spec).batch("train", torch.arange(len(ctx.data.train))).inputs[0].flatten().tolist())
    names = {place: name for name, place in engine(spec).get_vocab().items()}
    assert all(len(names[place].strip("#")) == 1 or "[" in names[place] for place in set(names) - used)


def test_without_a_tokenizer_there_is_nothing_to_trim(tmp_path: Path) -> None:
    ctx = small_texts.text_context(tmp_path, small_texts.encoder())
    for model in (small.small_model(), TorchModel(small_texts.encoder().module, ModelInfo())):
        with pytest.raises(PlanError, match="no tokenizer of its own"):
            Vocabulary().rehearse(model, ctx)
