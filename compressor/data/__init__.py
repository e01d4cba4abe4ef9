"""Three splits of samples and labels, from any source, with order and augmentation set by seeds."""

from compressor.data.batches import Augment, Batch, Data, Normalise, Split, SplitName, TensorSplit

__all__ = ["Augment", "Batch", "Data", "Normalise", "Split", "SplitName", "TensorSplit"]
