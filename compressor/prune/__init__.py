"""Structural pruning: channels that are physically removed, with budgets in ratios, counts or measurements."""

from compressor.prune.channels import prune_channels
from compressor.prune.outcome import PruneReport
from compressor.prune.transformers import prune_blocks

__all__ = ["PruneReport", "prune_blocks", "prune_channels"]
