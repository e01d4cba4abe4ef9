"""Word vectors of two factors, in networks of every kind."""

import pytest
import small_texts
import torch
from torch import nn

from compressor.factories.low_rank import RANK, LowRankEmbedding, use_low_rank, word_table
from compressor.factories.text_network import changed, text_network


def test_rows_are_looked_up_and_widened_by_hand() -> None:
    made = LowRankEmbedding(nn.Embedding(2, 2), nn.Linear(2, 3))
    made.load_state_dict(
        {
            "table.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
            "widen.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
            "widen.bias": torch.tensor([0.5, 0.0, 0.0]),
        }
    )
    assert made(torch.tensor([[1, 0]])).tolist() == [[[3.5, 4.0, 7.0], [1.5, 2.0, 3.0]]]


@pytest.mark.parametrize("kind", [*small_texts.KINDS, *small_texts.DECODERS])
def test_a_configuration_that_names_a_rank_builds_it(kind: str) -> None:
    model = small_texts.encoder(kind)
    whole = word_table(model.module.network)
    assert model.info.factory is not None
    ref = changed(model.info.factory, **{RANK: 5})
    assert ref.arguments["config"][RANK] == 5
    built = text_network(**ref.arguments)
    table = word_table(built.network)
    assert table.weight.shape == (whole.num_embeddings, 5)
    assert table.padding_idx == whole.padding_idx
    widened = built.network.get_input_embeddings()  # type: ignore[operator]
    assert isinstance(widened, LowRankEmbedding)
    assert widened.widen.weight.shape == (whole.embedding_dim, 5)
    logits = built(*small_texts.inputs_of(model))
    logits.sum().backward()
    assert logits.shape[1] == 2 and table.weight.grad is not None


def test_the_rest_of_the_network_stays_the_same() -> None:
    network = small_texts.encoder("bert").module.network
    before = {name for name, _ in network.named_parameters()}  # type: ignore[union-attr]
    use_low_rank(network, 3)
    after = {name for name, _ in network.named_parameters()}  # type: ignore[union-attr]
    words = "bert.embeddings.word_embeddings."
    assert before - after == {f"{words}weight"}
    assert after - before == {f"{words}table.weight", f"{words}widen.weight", f"{words}widen.bias"}
