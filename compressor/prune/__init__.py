"""Structural pruning: channels that are physically removed, with budgets in ratios, counts or measurements."""

from compressor.prune.channels import PruneReport, prune_channels

__all__ = ["PruneReport", "prune_channels"]
