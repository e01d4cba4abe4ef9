"""Refusals before any training: labels and inputs that no network could learn from."""

from collections.abc import Mapping

import torch
from torch import Tensor

from compressor.data.batches import Split
from compressor.data.labels import IGNORED
from compressor.errors import DataError

CHUNK = 4096


def check_labels(splits: Mapping[str, Split], classes: tuple[str, ...], spec: str) -> None:
    """Labels must be 0, 1, ... without gaps in train, at least two of them, and no others elsewhere.

    Args:
        splits: By name; ``"train"`` is among them.
        classes: Names; empty where there are none.
        spec: For the message.

    Raises:
        DataError: Naming split and row.
    """
    for name, split in splits.items():
        if len(split) == 0:
            raise DataError(f"'{spec}': the {name} split is empty", "data with at least a few samples per class")
        _check_integers(split.labels, f"'{spec}', {name} split")
    present = splits["train"].labels.unique().tolist()
    if len(present) == 1:
        only = classes[present[0]] if present[0] < len(classes) else present[0]
        raise DataError(f"'{spec}': one class only, '{only}', in the train split", "data with at least two classes")
    missing = sorted(set(range(present[-1] + 1)) - set(present))
    if missing:
        shown = ", ".join(classes[label] if label < len(classes) else str(label) for label in missing[:5])
        raise DataError(
            f"'{spec}': labels go up to {present[-1]}, but train has none of {shown}",
            "samples of every class, or compress train, which gives a text network a head for those that are there"
            if classes
            else "labels 0, 1, 2, ... without gaps",
        )
    if classes and present[-1] >= len(classes):
        raise DataError(
            f"'{spec}': label {present[-1]} in train, but only {len(classes)} class names", "one name per class"
        )
    for name, split in splits.items():
        strange = (split.labels > present[-1]).nonzero().flatten()
        if len(strange):
            row = int(strange[0])
            raise DataError(
                f"'{spec}', {name} split, row {row}: label {int(split.labels[row])} is not in train (0..{present[-1]})",
                "the same classes in every split",
            )


def check_values(splits: Mapping[str, Split], classes: tuple[str, ...], spec: str) -> None:
    """Numbers to be met must be finite and not all the same.

    Raises:
        DataError: Naming split and row.
    """
    for name, split in splits.items():
        if len(split) == 0:
            raise DataError(f"'{spec}': the {name} split is empty", "data with at least a few samples")
        broken = (~torch.isfinite(split.labels)).nonzero().flatten()
        if len(broken):
            raise DataError(f"'{spec}', {name} split, row {int(broken[0])}: the target is not finite", "repair the row")
    labels = splits["train"].labels
    if bool((labels == labels[0]).all()):
        raise DataError(f"'{spec}': every target of the train split is {float(labels[0]):g}", "targets that differ")


def check_tags(splits: Mapping[str, Split], classes: tuple[str, ...], spec: str) -> None:
    """Words must have at least two classes among them in train.

    Raises:
        DataError: Naming the split.
    """
    for name, split in splits.items():
        if len(split) == 0:
            raise DataError(f"'{spec}': the {name} split is empty", "data with at least a few samples")
    labels = splits["train"].labels
    present = labels[labels != IGNORED].unique().tolist()
    if len(present) < 2:
        only = classes[present[0]] if present else "none"
        raise DataError(f"'{spec}': one tag only, '{only}', in the train split", "data with at least two tags")


def _check_integers(labels: Tensor, where: str) -> None:
    if labels.dim() != 1:
        raise DataError(
            f"{where}: labels have shape {tuple(labels.shape)}, wanted one number per sample", "argmax them"
        )
    if labels.is_floating_point():
        broken = (labels != labels.round()).nonzero().flatten()
        row = int(broken[0]) if len(broken) else 0
        raise DataError(
            f"{where}, row {row}: label {labels[row].item()} ({labels.dtype}), wanted a whole number",
            "integer labels 0, 1, 2, ...",
        )
    negative = (labels < 0).nonzero().flatten()
    if len(negative):
        row = int(negative[0])
        raise DataError(f"{where}, row {row}: label {int(labels[row])} is negative", "labels 0, 1, 2, ...")


def check_finite(inputs: Tensor, where: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: Naming the first row.
    """
    if not inputs.is_floating_point():
        return
    for start in range(0, len(inputs), CHUNK):
        chunk = inputs[start : start + CHUNK].flatten(1)
        broken = (~torch.isfinite(chunk)).any(1).nonzero().flatten()
        if len(broken):
            raise DataError(
                f"{where}, row {start + int(broken[0])}: NaN or infinity in the inputs",
                "remove or repair the row",
            )
