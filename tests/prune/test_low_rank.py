"""Word vectors taken apart: against a principal component analysis, and to the bit after reloading."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_texts
import torch

from compressor.errors import PlanError
from compressor.export.huggingface import write_huggingface
from compressor.factories.low_rank import word_table
from compressor.loading import load_file, load_form, save_form
from compressor.models import TorchModel
from compressor.prune.low_rank import factorize_embedding, rank_of
from compressor.prune.vocabulary import trim_embedding
from compressor.prune.vocabulary_stage import Vocabulary


def vectors(model: TorchModel) -> np.ndarray:
    """The vector of every token, (tokens, width)."""
    network = model.module.network
    with torch.no_grad():
        ids = torch.arange(word_table(network).num_embeddings)
        return network.get_input_embeddings()(ids).double().numpy()  # type: ignore[operator, no-any-return, union-attr]


def test_all_numbers_change_nothing() -> None:
    model = small_texts.encoder("bert")
    before = vectors(model)
    factorize_embedding(model.module, before.shape[1], torch.arange(len(before)))
    np.testing.assert_allclose(vectors(model), before, atol=1e-6)


def test_equal_words_are_principal_components() -> None:
    model = small_texts.encoder("bert")
    before = vectors(model)
    factorize_embedding(model.module, 6, torch.ones(len(before)))
    centred = before - before.mean(0)
    variances = np.linalg.eigvalsh(centred.T @ centred)
    # What the best plane of 6 dimensions misses is the variance along the other axes.
    assert ((vectors(model) - before) ** 2).sum() == pytest.approx(variances[:-6].sum(), rel=1e-4)


def test_frequent_words_keep_more() -> None:
    errors = []
    for count in (0, 10**8):
        model = small_texts.encoder("bert")
        before = vectors(model)
        counts = torch.ones(len(before))
        counts[:10] = count
        factorize_embedding(model.module, 6, counts)
        errors.append(float(((vectors(model) - before)[:10] ** 2).sum()))
    assert errors[1] < 0.5 * errors[0]


def test_no_column_is_too_small_for_integers() -> None:
    model = small_texts.encoder("bert")
    with torch.no_grad():
        word_table(model.module.network).weight[:, 0] *= 1000
    factorize_embedding(model.module, 6, torch.ones(word_table(model.module.network).num_embeddings))
    table, widen = (
        dict(model.module.named_parameters())[f"network.bert.embeddings.word_embeddings.{name}.weight"]
        for name in ("table", "widen")
    )
    torch.testing.assert_close(table.norm(dim=0), widen.norm(dim=0), rtol=0.05, atol=0)


def test_few_words_have_no_more_numbers_than_there_are_words() -> None:
    model = small_texts.encoder("bert")
    trim_embedding(model.module, torch.arange(5), 0)
    before = vectors(model)
    assert rank_of(model.module.network, 0.5) == 5
    factorize_embedding(model.module, 5, torch.ones(5))
    np.testing.assert_allclose(vectors(model), before, atol=1e-6)


def test_a_product_is_not_taken_apart_again() -> None:
    model = small_texts.encoder("bert")
    assert rank_of(model.module.network, 0.5) == 16
    factorize_embedding(model.module, 16, torch.ones(word_table(model.module.network).num_embeddings))
    with pytest.raises(PlanError, match="product of low rank already"):
        rank_of(model.module.network, 0.5)


def test_the_stage_says_what_it_stores_and_the_network_reloads(tmp_path: Path) -> None:
    model = small_texts.encoder("bert")
    ctx = small_texts.text_context(tmp_path, model)
    stage = Vocabulary(rank=0.5)
    assert stage.rehearse(model, ctx).notes[1] == "16 numbers a token are stored in place of 32"
    result = stage.run(small_texts.encoder("bert"), ctx)
    assert isinstance(result.model, TorchModel)
    assert result.metrics["rank"] == 16
    assert 0 <= result.metrics["validation_factorized"] <= 1
    assert word_table(result.model.module.network).weight.shape == (result.metrics["tokens_after"], 16)
    # A second stage trims the narrow table as it would the wide one.
    seen = replace(ctx, data=ctx.data.seen_by(result.model.info.tokenizer))
    again = Vocabulary().run(result.model, seen)
    assert again.metrics["tokens_after"] == result.metrics["tokens_after"]
    assert isinstance(again.model, TorchModel)
    inputs = seen.data.batch("test", torch.arange(8)).inputs
    expected = small_texts.answers(again.model, inputs)
    save_form(again.model, tmp_path / "saved", inputs)
    back = load_form(tmp_path / "saved")
    # transformers builds no such table: its folder is opened by our own loader.
    assert not write_huggingface(again.model.module, again.model.info, tmp_path / "folder")
    for opened in (back, load_file(tmp_path / "folder")):
        assert isinstance(opened, TorchModel)
        assert torch.equal(small_texts.answers(opened, inputs), expected)
