"""Refusals before any training: labels and inputs that no network could learn from."""

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor

from compressor.data.batches import Data, Split, SplitName
from compressor.data.images import Normalise
from compressor.data.labels import IGNORED
from compressor.errors import DataError

CHUNK, CHUNK_LOOKED_AT = 4096, 64
# Above this a double no longer holds every whole number.
LARGEST_WHOLE = 2.0**53


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
    if len(present) <= present[-1]:
        missing = next(place for place, label in enumerate(present) if label != place)
        first = classes[missing] if missing < len(classes) else str(missing)
        raise DataError(
            f"'{spec}': labels go up to {present[-1]}, but train has none of {first}",
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


def check_values(splits: Mapping[str, Split], classes: tuple[str, ...], spec: str, may_be_equal: bool = False) -> None:
    """Numbers to be met must be finite and, in train, not all the same.

    Raises:
        DataError: Naming split and row.
    """
    for name, split in splits.items():
        if len(split) == 0:
            raise DataError(f"'{spec}': the {name} split is empty", "data with at least a few samples")
        broken = (~torch.isfinite(split.labels)).nonzero().flatten()
        if len(broken):
            raise DataError(f"'{spec}', {name} split, row {int(broken[0])}: the target is not finite", "repair the row")
    if may_be_equal:
        return
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


def whole_labels(labels: Tensor, where: str) -> Tensor:
    """Labels as one whole number each, of what plainly says so: floats that are whole, a column, one-hot rows.

    Args:
        labels: Numbers of any kind, (N,), (N, 1), or (N, classes) with a single 1 a row.
        where: For the message.

    Raises:
        DataError: They are anything else; names the first row.
    """
    if labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dim() == 2:
        wrong = ((labels == 1).sum(dim=1) != 1) | ((labels != 0).sum(dim=1) != 1)
        if bool(wrong.any()):
            raise DataError(
                f"{where}, row {int(wrong.nonzero()[0])}: {labels.shape[1]} numbers that aren't one 1 and else 0, "
                "wanted one label a sample",
                "argmax them, or data with one class a sample",
            )
        return labels.to(torch.int8).argmax(dim=1)
    if labels.is_floating_point():
        broken = ((labels != labels.round()) | (labels.abs() > LARGEST_WHOLE)).nonzero().flatten()
        if len(broken):
            row = int(broken[0])
            raise DataError(
                f"{where}, row {row}: label {labels[row].item()} ({labels.dtype}), wanted a whole number",
                "integer labels 0, 1, 2, ...",
            )
    if labels.is_complex():
        raise DataError(f"{where}: labels are {labels.dtype}, wanted whole numbers", "integer labels 0, 1, 2, ...")
    return labels.long()


def _check_integers(labels: Tensor, where: str) -> None:
    if labels.dim() != 1:
        raise DataError(
            f"{where}: labels have shape {tuple(labels.shape)}, wanted one number per sample", "argmax them"
        )
    if labels.is_floating_point():
        whole_labels(labels, where)
        raise DataError(f"{where}: labels are {labels.dtype}, wanted whole numbers", "integer labels 0, 1, 2, ...")
    negative = (labels < 0).nonzero().flatten()
    if len(negative):
        row = int(negative[0])
        raise DataError(f"{where}, row {row}: label {int(labels[row])} is negative", "labels 0, 1, 2, ...")


def check_data(data: Data, name: str) -> None:
    """Refuse ``Data`` of the user's own making that isn't what it says, before anything trusts it.

    Args:
        data: As it was made.
        name: Of what made it, for the message.

    Raises:
        DataError: A field or a split is of another kind, or labels aren't those of the classes.
    """
    fields = {"source": str, "classes": tuple, "fingerprint": str, "notes": tuple}
    for field, kind in fields.items():
        if not isinstance(getattr(data, field), kind):
            got = type(getattr(data, field)).__name__
            raise DataError(f"{name} gives Data whose {field} is a {got}, wanted a {kind.__name__}", "Data(...)")
    if not all(isinstance(one, str) for one in (*data.classes, *data.notes)):
        raise DataError(f"{name} gives Data whose classes or notes aren't texts", "classes=('cat', 'dog')")
    if not isinstance(data.normalise, Normalise | None):
        raise DataError(f"{name} gives Data whose normalise is no Normalise", "Normalise(mean, std), or None")
    for split_name in get_args(SplitName):
        _check_split(data.split(split_name), data, f"{name}, {split_name} split")


def _check_split(split: Split, data: Data, where: str) -> None:
    labels = getattr(split, "labels", None)
    if not isinstance(labels, Tensor) or labels.dim() not in (1, 2) or labels.dtype == torch.bool:
        raise DataError(f"{where}: labels are no tensor of numbers, one a sample", "a TensorSplit, or loaders")
    if not len(split) or len(split) != len(labels):
        raise DataError(f"{where}: {len(split)} samples and {len(labels)} labels", "a label a sample, at least a few")
    if labels.is_floating_point():
        check_values({where: split}, (), where, may_be_equal=True)
    elif data.classes and int(labels.max()) >= len(data.classes):
        raise DataError(f"{where}: label {int(labels.max())}, and {len(data.classes)} classes", "a name for each class")
    rows = torch.arange(min(CHUNK_LOOKED_AT, len(split)))
    if data.tokenizer is None and isinstance(getattr(split, "lengths", None), Tensor):
        return
    try:
        inputs = split.fetch(rows)
    except Exception as error:
        raise DataError(f"{where}: fetching samples fails: {type(error).__name__}: {error}", "a row a label") from error
    if not isinstance(inputs, tuple) or not inputs or not all(isinstance(one, Tensor) for one in inputs):
        raise DataError(f"{where}: fetch gives a {type(inputs).__name__}, wanted a tuple of tensors", "a TensorSplit")
    for one in inputs:
        if one.dim() == 0 or len(one) != len(rows):
            raise DataError(f"{where}: {len(rows)} samples have inputs of shape {tuple(one.shape)}", "a row a sample")
        check_finite(one, where)


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
