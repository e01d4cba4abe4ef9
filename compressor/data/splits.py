"""Hold-outs, normalisation and fingerprint: what makes ``Data`` of what a reader found."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from compressor.data.batches import Data, Split, Subset, TensorSplit
from compressor.data.checks import check_labels, check_tags, check_values
from compressor.data.images import Normalise
from compressor.data.source import Arguments, Source
from compressor.errors import DataError
from compressor.models import InputSpec

HELD_OUT = 0.1
STATISTICS_SAMPLES = 20_000


def data_from_source(source: Source, args: Arguments, inputs: InputSpec | None, seed: int) -> Data:
    """Check a source and complete it.

    A missing test split is held out of train first, and always the same tenth: a teacher trained
    under another seed must not have seen it. A missing validation split is held out under the seed.

    Args:
        source: What a reader found.
        args: Asked for ``mean`` and ``std``.
        inputs: What the model expects of one sample, where it says so.
        seed: Draws the validation split.

    Raises:
        DataError: Labels or shapes that can't be trained on, or don't fit the model.
    """
    found = {"train": source.train, "validation": source.validation, "test": source.test}
    present = {name: split for name, split in found.items() if split is not None}
    check = check_tags if source.tags else check_labels
    (check_values if source.values else check)(present, source.classes, source.spec)
    notes = list(source.notes)
    train, validation, test = source.train, source.validation, source.test
    tenth = HELD_OUT * len(train)
    digest = hashlib.sha256(source.fingerprint.encode())
    if test is None:
        train, test = _hold_out(train, HELD_OUT, 0, "test", source.spec)
        notes.append(
            f"no test split in '{source.spec}': a stratified tenth of train ({len(test)}) was held out as test"
        )
        digest.update(_bytes(test.indices))
    if validation is None:
        train, validation = _hold_out(train, tenth / len(train), seed, "validation", source.spec)
        notes.append(f"a stratified tenth of train ({len(validation)}) was held out as validation (seed {seed})")
        digest.update(_bytes(validation.indices))
    _check_shape(train, inputs, source.spec)
    normalise = None
    if source.images:
        normalise, note = _normalisation(train, args, inputs, source.spec)
        notes.extend(note)
        digest.update(repr(normalise).encode())
    digest.update(f"flip={source.flip}".encode())
    classes = source.classes
    if not classes and not source.values:
        classes = tuple(str(label) for label in range(int(train.labels.max()) + 1))
    return Data(
        source=source.spec,
        train=train,
        validation=validation,
        test=test,
        classes=classes,
        fingerprint=digest.hexdigest(),
        normalise=normalise,
        flip=source.flip,
        notes=tuple(notes),
    )


def fingerprint(splits: Sequence[Split | None]) -> str:
    """sha256 over the samples and labels of splits in memory."""
    digest = hashlib.sha256()
    for split in splits:
        if isinstance(split, TensorSplit):
            digest.update(f"{tuple(split.inputs.shape)} {split.inputs.dtype}".encode())
            digest.update(_bytes(split.inputs))
            digest.update(_bytes(split.labels))
        else:
            digest.update(b"none")
    return digest.hexdigest()


def stratified(labels: Tensor, count: int, seed: int) -> Tensor:
    """``count`` places in ``labels``, drawn under a seed, each class by its share; in rising order.

    Labels that are numbers, or one for each of a sample's words, have no shares: plainly drawn.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    if not _one_class_each(labels):
        return order[:count].sort().values
    key = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique().tolist():
        places = order[labels[order] == label]
        key[places] = (torch.arange(len(places), dtype=torch.float64) + 0.5) / len(places)
    return key.argsort(stable=True)[:count].sort().values


def _hold_out(train: Split, fraction: float, seed: int, name: str, spec: str) -> tuple[Subset, Subset]:
    labels = train.labels
    smallest = int(labels.bincount().min()) if _one_class_each(labels) else 2
    if smallest < 2:
        label = int(labels.bincount().argmin())
        raise DataError(
            f"'{spec}': class {label} has {smallest} sample in train, and a {name} split must be held out of it",
            f"at least 3 samples per class, or data with its own {name} split",
        )
    held = torch.cat(_per_class(labels, fraction, seed)).sort().values
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[held] = False
    return Subset(train, rest.nonzero().flatten()), Subset(train, held)


def _one_class_each(labels: Tensor) -> bool:
    return labels.dim() == 1 and not labels.is_floating_point()


def _per_class(labels: Tensor, fraction: float, seed: int) -> list[Tensor]:
    if not _one_class_each(labels):
        return [stratified(labels, max(1, round(fraction * len(labels))), seed)]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    parts = []
    for label in labels.unique().tolist():
        places = order[labels[order] == label]
        parts.append(places[: max(1, round(fraction * len(places)))])
    return parts


def _check_shape(train: Split, inputs: InputSpec | None, spec: str) -> None:
    if inputs is None:
        return
    have = tuple(train.fetch(torch.arange(1))[0].shape[1:])
    want = inputs.shape
    if have == want:
        return
    hint = "data of the model's shape, or a model made for this data"
    if len(have) == len(want) == 3:
        wrong = [f"channels={want[0]}"] if have[0] != want[0] else []
        wrong += [f"size=[{want[1]}, {want[2]}]"] if have[1:] != want[1:] else []
        hint = " ".join(f"--data-arg '{part}'" for part in wrong)
    raise DataError(f"the model takes samples of shape {want}, '{spec}' has {have}", hint)


def _normalisation(train: Split, args: Arguments, inputs: InputSpec | None, spec: str) -> tuple[Normalise, list[str]]:
    channels = train.fetch(torch.arange(1))[0].shape[1]
    mean, std = args.numbers("mean"), args.numbers("std")
    if bool(mean) != bool(std):
        raise DataError("--data-arg mean and std belong together", "--data-arg mean=0.5 --data-arg std=0.5")
    if inputs is not None and inputs.mean and inputs.std:
        ignored = ["mean and std are the model's own; --data-arg mean and std were ignored"] if mean else []
        mean, std = inputs.mean, inputs.std
        notes = ignored
    elif mean:
        notes = []
    else:
        mean, std = statistics(train)
        notes = [f"normalised by {Normalise(mean, std)} of the train split"]
    if len(mean) not in (1, channels) or len(std) not in (1, channels):
        raise DataError(
            f"'{spec}' has {channels} channels, but mean has {len(mean)} values and std {len(std)}",
            "one value per channel",
        )
    if min(std) <= 0:
        raise DataError(f"std must be above 0, got {_listed(std)}", "--data-arg std=0.5")
    return Normalise(_spread(mean, channels), _spread(std, channels)), notes


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values


def statistics(train: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images scaled to 0..1, to four decimals.

    Exact up to 20,000 samples; of more, as many evenly spread ones are taken.
    """
    step = max(1, len(train) // STATISTICS_SAMPLES)
    histogram: Tensor | None = None
    for indices in torch.arange(0, len(train), step).split(1000):
        images = train.fetch(indices)[0]
        counts = torch.stack([images[:, c].flatten().bincount(minlength=256) for c in range(images.shape[1])])
        histogram = counts if histogram is None else histogram + counts
    assert histogram is not None
    share = histogram.double() / histogram.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ values
    std = (share @ values.square() - mean.square()).clamp(min=0).sqrt()
    # An all-equal channel has no scale of its own.
    std = torch.where(std < 1e-4, torch.ones_like(std), std)
    return tuple(round(m, 4) for m in mean.tolist()), tuple(round(s, 4) for s in std.tolist())


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def shorten(data: Data, train: int, other: int) -> Data:
    """Fewer samples: ``train`` of the training split, ``other`` of each of the two others.

    Drawn stratified under a fixed seed; splits that are shorter stay as they are.
    """

    def shorter(split: Split, count: int) -> Split:
        return split if len(split) <= count else Subset(split, stratified(split.labels, count, seed=0))

    parts = shorter(data.train, train), shorter(data.validation, other), shorter(data.test, other)
    if all(part is whole for part, whole in zip(parts, (data.train, data.validation, data.test), strict=True)):
        return data
    digest = hashlib.sha256(f"{data.fingerprint} shortened {train} {other}".encode()).hexdigest()
    counts = "/".join(str(len(part)) for part in parts)
    return replace(
        data,
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        fingerprint=digest,
        notes=(*data.notes, f"shortened to {counts} samples (train/validation/test)"),
    )
