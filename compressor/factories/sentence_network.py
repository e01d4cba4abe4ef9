"""An encoder of the transformers library with what makes one vector of a text inside of it: pooling, and length 1."""

from typing import Any, Literal, get_args

from torch import Tensor, nn

from compressor.errors import InputError

# The task, under which loading, the ONNX file and what stands beside it know such a network.
EMBEDDING = "sentence-embedding"
# What such a network's configuration calls its pooling.
POOLING = "sentence_pooling"
# Vectors of other lengths aren't brought to 1. Half precision knows both numbers, and not the 1e-12 of torch's own.
LENGTHS = (2.0**-13, 2.0**15)
Pooling = Literal["mean", "cls"]


class SentenceNetwork(nn.Module):
    """Token ids by position to one vector a text, of length 1.

    Reimers and Gurevych 2019 (https://arxiv.org/abs/1908.10084, section 3).

    Args:
        network: Gives a state for each token. Its pooler, which nothing here reads, is taken out.
        pooling: ``mean`` over the tokens that are no padding, or the first token's state, ``cls``.

    Raises:
        InputError: No such pooling.
    """

    def __init__(self, network: nn.Module, pooling: Pooling = "mean") -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise InputError(f"no pooling '{pooling}' of tokens", f"{POOLING}: one of {', '.join(get_args(Pooling))}")
        if hasattr(network, "pooler"):
            encoder: Any = network
            encoder.pooler = None
        self.network = network
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Vectors (N, width) of token ids, a mask of real tokens, and which text each is of, (N, tokens) each."""
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states: Tensor = self.network(
            input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **more
        ).last_hidden_state
        if self.pooling == "cls":
            vectors = states[:, 0]
        else:
            real = attention_mask.to(states.dtype)[:, :, None]
            # The mean and not the sum, which points the same way: squares of the sum are past the largest half.
            vectors = (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
        length: Tensor = vectors.norm(dim=-1, keepdim=True)
        return vectors / length.clamp(*LENGTHS)
