"""Attention that reads a table of positions which all blocks share, each for the heads that it has itself."""

import functools
from typing import Any

from torch import Tensor, nn

# What an encoder calls the table, one column a head, and what a block calls its places in it.
SHARED_TABLE = "relative_attention_bias"
HEADS = "heads"


class _OwnHeads:
    """Before a class of the library: hands it the columns of its own heads alone."""

    heads: list[int]

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, position_bias: Any = None, **more: Any
    ) -> Any:
        """As the library's own; ``position_bias`` (1 or N, heads of the table, tokens, tokens)."""
        if position_bias is not None and len(self.heads) < position_bias.shape[1]:
            position_bias = position_bias[:, self.heads]
        above: Any = super()
        return above.forward(hidden_states, attention_mask, position_bias, **more)


def give_own_heads(network: nn.Module) -> None:
    """Let every block of an MPNet encoder know which heads of the shared table are its own: all, to begin with.

    The library adds the whole table in every block, so that all blocks would have to keep the same heads. Names and
    tensors stay as they are; which heads a block has is an attribute of it, and so part of a network's manifest.

    Args:
        network: Of the transformers library, changed in place; others than MPNet are left alone.
    """
    for child in network.modules():
        if type(child).__name__ == "MPNetSelfAttention":
            block: Any = child
            block.__class__ = _with_own_heads(block.__class__)
            block.heads = list(range(block.num_attention_heads))


@functools.cache
def _with_own_heads(library: type) -> type:
    return type(f"OwnHeads{library.__name__}", (_OwnHeads, library), {})
