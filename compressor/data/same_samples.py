"""What is the same in a split whose samples are another's."""

from dataclasses import dataclass

from torch import Tensor

from compressor.data.batches import Split
from compressor.data.lengths import lengths_of, places_of


@dataclass(frozen=True)
class SameSamples:
    """The samples of another split; its labels are for who inherits.

    Args:
        parent: Any split.
    """

    parent: Split

    def __len__(self) -> int:
        """How many samples."""
        return len(self.parent)

    def fetch(self, indices: Tensor, epoch_seed: int | None = None) -> tuple[Tensor, ...]:
        """The parent's samples."""
        return self.parent.fetch(indices, epoch_seed)

    @property
    def lengths(self) -> Tensor | None:
        """Of each sample, where they have one."""
        return lengths_of(self.parent)

    @property
    def places(self) -> Tensor | None:
        """Where each sample's words begin, where they are words."""
        return places_of(self.parent)
