"""Samples of different lengths: which of them share a batch, and splits that can be tokenized."""

from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from compressor.models import TokenizerSpec

# Batches that are sorted by length together: more of them pad less, and mix less.
SORTED_TOGETHER = 20
S = TypeVar("S")


@runtime_checkable
class Tokenizable(Protocol):
    """A split of texts, or one that may hold texts."""

    @property
    def lengths(self) -> Tensor | None:
        """int64 (N,), tokens of each sample; None where samples are all of one size."""
        ...

    @property
    def places(self) -> Tensor | None:
        """int64 (N, words), at which of a sample's tokens each word begins; None where samples aren't words."""
        ...

    def with_tokenizer(self, spec: TokenizerSpec) -> Any:
        """The same samples, tokenized."""
        ...


def lengths_of(split: object) -> Tensor | None:
    """The samples' lengths, None where they are all of one size."""
    return split.lengths if isinstance(split, Tokenizable) else None


def places_of(split: object) -> Tensor | None:
    """Where the samples' words begin, None where they aren't words."""
    return split.places if isinstance(split, Tokenizable) else None


def tokenized(split: S, spec: TokenizerSpec) -> S:
    """The split as a network with this tokenizer sees it; itself where its samples are no text."""
    if isinstance(split, Tokenizable):
        made: S = split.with_tokenizer(spec)
        return made
    return split


def by_length(order: Tensor, lengths: Tensor, batch_size: int, chance: torch.Generator) -> Tensor:
    """The same samples in another order, where those of about one length share a batch.

    Sorted within groups of batches, then the batches are shuffled: an epoch's order stays random.

    Args:
        order: int64 (N,), shuffled.
        lengths: int64 (N,), of each sample, not of each place in ``order``.
        batch_size: Samples per batch.
        chance: Shuffles the batches.
    """
    full = len(order) // batch_size * batch_size
    if not full:
        return order
    groups = order[:full].split(batch_size * SORTED_TOGETHER)
    ordered = torch.cat([group[lengths[group].argsort(stable=True)] for group in groups]).view(-1, batch_size)
    shuffled = ordered[torch.randperm(len(ordered), generator=chance)]
    return torch.cat([shuffled.flatten(), order[full:]])
