"""What a pruning removed."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What one pruning removed.

    Args:
        before: Output channels per layer, heads per attention block, before.
        after: The same, after.
        kept: Layers that were left alone, with the reason.
        stays: By a weight's name which of its layer's outputs it still makes, where it lost some.
        lost: What the channels that went count by the ranking, in all tensors together; None of heads and neurons.
    """

    before: dict[str, int]
    after: dict[str, int]
    kept: dict[str, str] = field(default_factory=dict)
    stays: dict[str, Tensor] = field(default_factory=dict)
    lost: float | None = None

    @property
    def removed(self) -> dict[str, int]:
        """Output channels removed per layer, where there were any."""
        return {name: count - self.after[name] for name, count in self.before.items() if count != self.after[name]}

    def by_layer(self) -> dict[str, str]:
        """What becomes of each layer, in words."""
        shrunk = {
            name: f"pruned: {self.before[name]} to {self.after[name]}" for name in self.before if name in self.removed
        }
        return shrunk | {name: f"kept: {why}" for name, why in self.kept.items() if name not in shrunk}
