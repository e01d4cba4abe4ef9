"""Word vectors of fewer numbers: the table is taken apart by its singular values."""

from typing import Any

import torch
from torch import Tensor, nn

from compressor.errors import PlanError
from compressor.factories.low_rank import LowRankEmbedding, use_low_rank, word_table

# A token that the texts don't have weighs as much as half of one that they have once.
UNSEEN = 0.5


def rank_of(network: Any, share: float) -> int:
    """How many numbers a row keeps of a network's word vectors, at most as many as there are words.

    Args:
        network: Of the transformers library.
        share: Of the width that its vectors have now.

    Raises:
        PlanError: They are a product already.
    """
    if isinstance(network.get_input_embeddings(), LowRankEmbedding):
        raise PlanError("vocabulary.rank: the word vectors are a product of low rank already", "leave rank out")
    table = word_table(network)
    return min(table.num_embeddings, max(1, round(table.embedding_dim * share)))


def factorize_embedding(module: nn.Module, rank: int, counts: Tensor) -> None:
    """Replace the table of word vectors by the nearest product of a narrower table and one linear layer, in place.

    The nearest by squared error over the tokens of the texts, as often as they stand there: the singular value
    decomposition of the weighted table around its mean, which the linear layer's bias takes (Acharya et al. 2019,
    https://arxiv.org/abs/1811.00641; Chen et al. 2018 weigh by frequency, https://arxiv.org/abs/1806.06950). Both
    factors take the root of each singular value, so that neither has columns too small for the grid of integers.

    Args:
        module: Its ``network`` is one of the transformers library.
        rank: Numbers a row.
        counts: How often each token occurs, (tokens,).
    """
    network: Any = module.network
    whole = network.get_input_embeddings().weight.detach()
    rows = whole.double().cpu()
    weight = (counts.double().cpu() + UNSEEN)[:, None]
    weight /= weight.mean()
    mean = (rows * weight).mean(0)
    left, values, right = torch.linalg.svd((rows - mean) * weight.sqrt(), full_matrices=False)
    root = values[:rank].sqrt()
    made = use_low_rank(network, rank).to(whole)
    with torch.no_grad():
        made.table.weight.copy_(left[:, :rank] * root / weight.sqrt())
        made.widen.weight.copy_((root[:, None] * right[:rank]).T)
        made.widen.bias.copy_(mean)
