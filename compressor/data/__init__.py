"""Three splits of samples and labels, from any source, with order and augmentation set by seeds."""

from compressor.data.batches import Batch, Data, Split, SplitName, TensorSplit
from compressor.data.fitting import fitted
from compressor.data.images import Augment, Normalise

__all__ = ["Augment", "Batch", "Data", "Normalise", "Split", "SplitName", "TensorSplit", "fitted"]
