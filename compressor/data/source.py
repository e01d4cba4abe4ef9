"""What a reader gives before hold-outs and preprocessing, and the options that every image reader shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from compressor.data.batches import Split
from compressor.data.bounds import check_size
from compressor.errors import DataError, did_you_mean
from compressor.faults import shown


@dataclass(frozen=True)
class Source:
    """Splits as they were found.

    Args:
        spec: What was asked for.
        train: Split.
        validation: None where the source has none.
        test: None where the source has none.
        classes: Class names by label; empty for ``"0"``, ``"1"``, ...
        fingerprint: sha256 over everything in the source.
        images: Whether inputs are uint8 images, to be scaled and normalised.
        flip: Whether mirrored samples keep their label.
        values: Whether labels are numbers to be met, and no classes.
        tags: Whether each word has a label, (N, words).
        notes: For the report.
    """

    spec: str
    train: Split
    validation: Split | None
    test: Split | None
    classes: tuple[str, ...]
    fingerprint: str
    images: bool = True
    flip: bool = False
    values: bool = False
    tags: bool = False
    notes: tuple[str, ...] = field(default=())


class Arguments:
    """``--data-arg`` values, read by name; what nobody reads is refused.

    Args:
        given: As typed, values already parsed.
        known: The names that the source takes.
        spec: The source, for messages.

    Raises:
        DataError: A name the source doesn't take.
    """

    def __init__(self, given: Mapping[str, Any], known: Sequence[str], spec: str) -> None:
        self._given = given
        self._spec = spec
        for name in given:
            if name not in known:
                listed = ", ".join(known)
                raise DataError(
                    f"'{spec}' takes no --data-arg '{name}'{did_you_mean(name, known)}", f"one of: {listed}"
                )

    def boolean(self, name: str, default: bool) -> bool:
        """Either ``true`` or ``false``."""
        value = self._given.get(name, default)
        if not isinstance(value, bool):
            raise self._fault(name, "true or false")
        return value

    def positive(self, name: str) -> int | None:
        """A whole number of at least 1, or None where it isn't given."""
        value = self._given.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._fault(name, "a whole number of at least 1")
        return value

    def size(self) -> tuple[int, int] | None:
        """Height and width: one number for both, or two."""
        value = self._given.get("size")
        if value is None:
            return None
        pair = [value, value] if isinstance(value, int) else value
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(_is_count(side) for side in pair):
            raise self._fault("size", "pixels, as in size=224, or size=[height, width]")
        return int(pair[0]), int(pair[1])

    def numbers(self, name: str) -> tuple[float, ...]:
        """One number or a list of numbers, finite; empty where it isn't given."""
        value = self._given.get(name, ())
        values = [value] if isinstance(value, int | float) else value
        if not isinstance(values, list | tuple) or not all(
            isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= LARGEST for v in values
        ):
            raise self._fault(name, "a number, or a list of one per channel")
        return tuple(float(v) for v in values)

    def name(self, name: str) -> str:
        """One string; empty where it isn't given."""
        value = self._given.get(name, "")
        if not isinstance(value, str):
            raise self._fault(name, "a name")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty where it isn't given."""
        value = self._given.get(name, ())
        if not isinstance(value, list | tuple):
            raise self._fault(name, "a list, as in classes=['cat', 'dog']")
        return tuple(str(v) for v in value)

    def _fault(self, name: str, wanted: str) -> DataError:
        got = shown(self._given[name])
        return DataError(f"--data-arg {name}: got {got}, wanted {wanted}", f"--data-arg {name}=...")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


# Values that are resized together.
AT_ONCE = 100_000_000
ASKED = "--data-arg size= and channels= of a network's input"
# Of a mean or std, in the units of values from 0 to 1; also bounds what can't be a float at all.
LARGEST = 1e6
PREPROCESSING = ("mean", "std", "size", "channels")


def resized(images: Tensor, args: Arguments, spec: str) -> Tensor:
    """uint8 (N, C, H, W) in the size and with the channels that were asked for.

    Grey becomes colour by repetition, sizes change bilinearly.

    Raises:
        DataError: Channels that can't be made of those that are there.
    """
    channels, size = args.positive("channels"), args.size()
    have = images.shape[1]
    # The floats that sizes are changed in are four times as large, some samples at a time.
    shape = (len(images), channels or have, *(size or images.shape[2:]))
    check_size(shape, 1, f"'{spec}' of size {shape[2]}x{shape[3]} with {shape[1]} channels", ASKED)
    at_once = max(1, AT_ONCE // (shape[1] * shape[2] * shape[3]))
    if channels is not None and channels != have:
        if have != 1:
            raise DataError(
                f"'{spec}' has {have} channels; {channels} can't be made of them", f"--data-arg channels={have}"
            )
        images = images.repeat(1, channels, 1, 1)
    if size is not None and size != tuple(images.shape[2:]):
        chunks = [
            torch.nn.functional.interpolate(chunk.float(), size, mode="bilinear", align_corners=False, antialias=True)
            for chunk in images.split(at_once)
        ]
        images = torch.cat([chunk.round().clamp(0, 255).to(torch.uint8) for chunk in chunks])
    return images
