"""What a pruning removed."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What one pruning removed.

    Args:
        before: Output channels per layer, heads per attention block, before.
        after: The same, after.
        kept: Layers that were left alone, with the reason.
    """

    before: dict[str, int]
    after: dict[str, int]
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def removed(self) -> dict[str, int]:
        """Output channels removed per layer, where there were any."""
        return {name: count - self.after[name] for name, count in self.before.items() if count != self.after[name]}
