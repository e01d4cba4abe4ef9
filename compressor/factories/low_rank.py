"""A table of word vectors as a product of two smaller ones."""

from typing import Any

from torch import Tensor, nn

# What the configuration calls the width of the rows that are looked up; transformers doesn't know it.
RANK = "embedding_rank"


class LowRankEmbedding(nn.Module):
    """Looks rows of few numbers up and widens them by one linear layer, as ALBERT's embedding does.

    Lan et al. 2020, section 3.1 (https://arxiv.org/abs/1909.11942).

    Args:
        table: (tokens, rank).
        widen: From the rank to the network's width.
    """

    def __init__(self, table: nn.Embedding, widen: nn.Linear) -> None:
        super().__init__()
        self.table = table
        self.widen = widen

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors of token ids, (N, tokens) to (N, tokens, width)."""
        widened: Tensor = self.widen(self.table(ids))
        return widened


def use_low_rank(network: Any, rank: int) -> LowRankEmbedding:
    """Put an untrained product of this rank in the place of a network's table of word vectors.

    Args:
        network: Of the transformers library.
        rank: How wide the rows are that are looked up.
    """
    whole: nn.Embedding = network.get_input_embeddings()
    table = nn.Embedding(whole.num_embeddings, rank, padding_idx=whole.padding_idx)
    made = LowRankEmbedding(table, nn.Linear(rank, whole.embedding_dim))
    network.set_input_embeddings(made)
    return made


def word_table(network: Any) -> nn.Embedding:
    """The table with a row for each token, of whatever width."""
    found: nn.Embedding | LowRankEmbedding = network.get_input_embeddings()
    return found.table if isinstance(found, LowRankEmbedding) else found
