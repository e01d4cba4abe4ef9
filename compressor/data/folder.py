"""Folders of images: train/ and test/ (val/ if there is one), each with a folder per class."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from compressor.data.batches import UNLABELED, Data, Split, TensorSplit
from compressor.data.bounds import check_size, parsed_as
from compressor.data.source import ASKED, PREPROCESSING, Arguments, Source
from compressor.data.splits import data_from_source, fingerprint
from compressor.errors import DataError
from compressor.models import InputSpec

ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
# The formats of these endings, as the library calls them: its readers of rarer ones fail in rarer ways.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# Of one image, and of a batch that is to be held.
MOST_PIXELS, FEW = 100_000_000, 16
SIXTEEN_BITS = 65535
SPLITS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}
MEMORY_BYTES = 2_000_000_000
THREADS = 4
GREY_MODES = frozenset({"1", "L", "I;16"})


@dataclass(frozen=True)
class Format:
    """What every image becomes: channels (1 or 3), height, width."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class ImageFiles:
    """Image files that are decoded as they are fetched."""

    files: tuple[Path, ...]
    labels: Tensor
    format: Format

    def __len__(self) -> int:
        """How many files."""
        return len(self.files)

    def fetch(self, indices: Tensor, epoch_seed: int | None = None) -> tuple[Tensor, ...]:
        """The images, uint8 (n, C, H, W)."""
        return (decode_all([self.files[i] for i in indices.tolist()], self.format),)


def image_folder(path: Path, given: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    """Read a folder of images; decoded once and kept where they fit in memory, else at every fetch.

    An image is scaled so that it covers the wanted size, then cut to its centre. The size is
    ``size=`` if given, else the model's, else that of the images if they agree.

    Raises:
        DataError: No images, class folders that differ between splits, an image that can't be read.
    """
    spec = str(path)
    args = Arguments(given, (*PREPROCESSING, "flip"), spec)
    found: dict[str, Path] = {}
    for name, folders in SPLITS.items():
        existing = [path / folder for folder in folders if (path / folder).is_dir()]
        if existing:
            found[name] = existing[0]
    if "train" not in found:
        raise DataError(
            f"{path} has no folder train/{_contents(path)}",
            f"{path}/train/CLASS/*.png, {path}/test/CLASS/*.png (and val/ if there is one)",
        )
    classes = _class_names(found["train"])
    listed: dict[str, tuple[tuple[Path, ...], Tensor]] = {}
    skipped: Counter[str] = Counter()
    for name, folder in found.items():
        others = _class_names(folder)
        if others != classes:
            strange = sorted(set(others) ^ set(classes))
            raise DataError(
                f"the class folders of {found['train']} and {folder} differ: {', '.join(strange[:5])} "
                f"{'is' if len(strange) == 1 else 'are'} in one of them only",
                "the same class folders in every split",
            )
        listed[name] = _list(folder, classes, skipped)
    target = _format([file for files, _ in listed.values() for file in files], args, inputs)
    count = sum(len(files) for files, _ in listed.values())
    in_memory = count * target.channels * target.height * target.width <= MEMORY_BYTES
    splits: dict[str, Split] = {
        name: TensorSplit(decode_all(files, target), labels) if in_memory else ImageFiles(files, labels, target)
        for name, (files, labels) in listed.items()
    }
    parts = [splits.get(name) for name in SPLITS]
    notes = [f"{sum(skipped.values())} files that aren't images were skipped ({_listed(skipped)})"] if skipped else []
    if not in_memory:
        for files, _ in listed.values():
            _headers(files)
        notes.append("the images don't fit in memory and are decoded at every fetch")
    source = Source(
        spec,
        splits["train"],
        splits.get("validation"),
        splits.get("test"),
        classes,
        fingerprint(parts) if in_memory else _fingerprint_of_files(path, listed, target),
        flip=args.boolean("flip", True),
        notes=tuple(notes),
    )
    return data_from_source(source, args, inputs, seed)


def loose_images(path: Path, inputs: InputSpec) -> tuple[Split, str]:
    """Every image in a folder and below it, brought to a network's size, and their fingerprint; they have no labels.

    Raises:
        DataError: There are none, or one can't be read.
    """
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and file.suffix.lower() in ENDINGS and not file.name.startswith(".")
    )
    if not files:
        raise DataError(f"{path} has no images", f"images ({', '.join(sorted(ENDINGS))}) in it")
    target = Format(*inputs.shape)
    check_format(target)
    labels = torch.full((len(files),), UNLABELED)
    if len(files) * target.channels * target.height * target.width <= MEMORY_BYTES:
        split = TensorSplit(decode_all(files, target), labels)
        return split, fingerprint([split])
    listed = {"unlabeled": (tuple(files), labels)}
    return ImageFiles(tuple(files), labels, target), _fingerprint_of_files(path, listed, target)


def _contents(path: Path) -> str:
    names = sorted(entry.name for entry in path.iterdir())
    return f"; it has {', '.join(names[:5])}" if names else "; it is empty"


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith(".")))
    if not names:
        raise DataError(f"{folder} has no class folders", f"{folder}/CLASS/*.png")
    return names


def _list(folder: Path, classes: Sequence[str], skipped: Counter[str]) -> tuple[tuple[Path, ...], Tensor]:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        before = len(files)
        for file in sorted((folder / name).rglob("*")):
            if not file.is_file() or file.name.startswith("."):
                continue
            if file.suffix.lower() in ENDINGS:
                files.append(file)
                labels.append(label)
            else:
                skipped[file.suffix or file.name] += 1
        if len(files) == before:
            raise DataError(f"{folder / name} has no images", f"images ({', '.join(sorted(ENDINGS))}) in it")
    return tuple(files), torch.tensor(labels)


def _listed(skipped: Counter[str]) -> str:
    return ", ".join(f"{ending}: {count}" for ending, count in skipped.most_common(3))


def _format(files: Sequence[Path], args: Arguments, inputs: InputSpec | None) -> Format:
    shape = inputs.shape if inputs is not None and len(inputs.shape) == 3 else None
    size = args.size() or (shape and (shape[1], shape[2]))
    channels = args.positive("channels") or (shape and shape[0])
    if channels not in (None, 1, 3):
        raise DataError(f"images have 1 or 3 channels, wanted {channels}", "--data-arg channels=3")
    if size is None or channels is None:
        headers = _headers(files)
        channels = channels or (1 if all(mode in GREY_MODES for _, mode in headers) else 3)
        for file, (other, _) in zip(files, headers, strict=True):
            if size is None and other != headers[0][0]:
                (height, width), first = other, headers[0][0]
                raise DataError(
                    f"the images have different sizes: {files[0]} {first[1]}x{first[0]}, {file} {width}x{height} (WxH)",
                    "--data-arg size=224",
                )
        size = size or headers[0][0]
    target = Format(channels, *size)
    check_format(target)
    return target


def check_format(target: Format) -> None:
    """Refuse a size of which a batch wouldn't fit in memory.

    Raises:
        DataError: Naming the size.
    """
    check_size(
        (FEW, target.channels, target.height, target.width),
        np.dtype(np.float32).itemsize,
        f"a batch of {FEW} images of size {target.height}x{target.width} with {target.channels} channels",
        ASKED,
    )


def _headers(files: Sequence[Path]) -> list[tuple[tuple[int, int], str]]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_header, files))


def _header(file: Path) -> tuple[tuple[int, int], str]:
    with _opened(file) as image:
        return (image.height, image.width), image.mode


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """A file of one of the formats that the endings name, whatever its own ending."""
    with parsed_as("an image", file, f"remove or replace {file.name}"), warnings.catch_warnings():
        # A palette with transparency given in bytes is fine, the alpha is dropped either way; sizes are judged here.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(file, formats=FORMATS) as image:
            _check_pixels(image, file)
            yield image


def _check_pixels(image: Image.Image, file: Path) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise DataError(
            f"{file} has {image.width}x{image.height} pixels, wanted at most {MOST_PIXELS // 10**6} million",
            "smaller images",
        )


def decode_all(files: Sequence[Path], target: Format) -> Tensor:
    """Images as uint8 (N, C, H, W).

    Raises:
        DataError: Naming the first file that can't be read.
    """
    images = np.empty((len(files), target.channels, target.height, target.width), dtype=np.uint8)
    with ThreadPoolExecutor(THREADS) as pool:
        for place, image in enumerate(pool.map(lambda file: _decode(file, target), files)):
            images[place] = image
    return torch.from_numpy(images)


def _decode(file: Path, target: Format) -> npt.NDArray[np.uint8]:
    with _opened(file) as opened:
        image = _eight_bits(opened, file).convert("L" if target.channels == 1 else "RGB")
    width, height = target.width, target.height
    if image.size != (width, height):
        scale = max(width / image.width, height / image.height)
        covering = max(width, round(image.width * scale)), max(height, round(image.height * scale))
        if covering[0] * covering[1] > MOST_PIXELS:
            raise DataError(
                f"{file} has {image.width}x{image.height} pixels, too long and thin for {width}x{height}",
                f"remove or replace {file.name}",
            )
        image = image.resize(covering, Image.Resampling.BILINEAR)
        left, top = (covering[0] - width) // 2, (covering[1] - height) // 2
        image = image.crop((left, top, left + width, top + height))
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if target.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _eight_bits(image: Image.Image, file: Path) -> Image.Image:
    """Grey values of 16 bits by their upper 8, which converting would cut off at 255; others as they are."""
    if image.mode[0] not in "IF":
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min(initial=0) < 0 or values.max(initial=0) > SIXTEEN_BITS:
        raise DataError(
            f"{file} has {'floats' if image.mode == 'F' else 'values beyond 16 bits'} for pixels",
            "images of 8 or 16 bits, or float images in FILE.npz",
        )
    return Image.fromarray((values >> 8).astype(np.uint8))


def _fingerprint_of_files(root: Path, listed: Mapping[str, tuple[tuple[Path, ...], Tensor]], target: Format) -> str:
    digest = hashlib.sha256(repr(target).encode())
    for name, (files, _) in listed.items():
        for file in files:
            facts = file.stat()
            digest.update(f"{name} {file.relative_to(root)} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()
