"""Networks as graphs of torch's operators: captured whole, and simplified where that changes no answer."""

from compressor.graphs.activations import to_relu
from compressor.graphs.capture import capture, merged_branches, simplified
from compressor.graphs.sizes import with_open_sizes

__all__ = ["capture", "merged_branches", "simplified", "to_relu", "with_open_sizes"]
