import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from compressor.data import folder
from compressor.data.folder import Format, ImageFiles, decode_all, image_folder
from compressor.errors import DataError
from compressor.models import InputSpec


def write(path: Path, value: int = 0, size: tuple[int, int] = (6, 6), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), value, dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def make(root: Path, splits: tuple[str, ...] = ("train", "test"), **kwargs: object) -> Path:
    for split in splits:
        for label, name in enumerate(("cat", "dog")):
            for i in range(10):
                write(root / split / name / f"{i}.png", value=100 * label + i, **kwargs)  # type: ignore[arg-type]
    return root


def test_classes_are_folders(tmp_path: Path) -> None:
    data = image_folder(make(tmp_path, ("train", "val", "test")), {}, None, 0)
    assert data.classes == ("cat", "dog")
    assert len(data.train) == len(data.validation) == len(data.test) == 20
    images = data.test.fetch(torch.arange(20))[0]
    assert images.shape == (20, 3, 6, 6)
    assert images[:, 0, 0, 0].tolist() == [*range(10), *range(100, 110)]
    assert data.test.labels.tolist() == [0] * 10 + [1] * 10
    assert data.flip and not image_folder(tmp_path, {"flip": False}, None, 0).flip


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    data = image_folder(make(tmp_path, mode="L"), {}, None, 0)
    assert data.train.fetch(torch.arange(1))[0].shape == (1, 1, 6, 6)


def test_size_and_channels_of_the_model(tmp_path: Path) -> None:
    data = image_folder(make(tmp_path), {}, InputSpec(shape=(1, 4, 4)), 0)
    assert data.train.fetch(torch.arange(1))[0].shape == (1, 1, 4, 4)


def test_the_centre_is_cut_without_distortion(tmp_path: Path) -> None:
    make(tmp_path)
    stripes = np.zeros((6, 18, 3), dtype=np.uint8)
    stripes[:, 6:12] = 200
    Image.fromarray(stripes).save(tmp_path / "test" / "cat" / "0.png")
    data = image_folder(tmp_path, {"size": 6}, None, 0)
    assert data.test.fetch(torch.tensor([0]))[0].unique().tolist() == [200]


def test_images_that_do_not_fit_in_memory_are_decoded_when_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = image_folder(make(tmp_path), {}, None, 0)
    monkeypatch.setattr(folder, "MEMORY_BYTES", 100)
    lazy = image_folder(tmp_path, {}, None, 0)
    assert isinstance(lazy.test, ImageFiles)
    assert any("decoded at every fetch" in note for note in lazy.notes)
    rows = torch.tensor([3, 14])
    assert torch.equal(lazy.batch("test", rows).inputs[0], held.batch("test", rows).inputs[0])
    again = image_folder(tmp_path, {}, None, 0)
    assert again.fingerprint == lazy.fingerprint
    os.utime(tmp_path / "test" / "cat" / "0.png", (1, 1))
    assert image_folder(tmp_path, {}, None, 0).fingerprint != lazy.fingerprint


def test_what_is_no_image_is_skipped_and_said(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "train" / "cat" / "labels.txt").write_text("x")
    (tmp_path / "train" / "cat" / ".hidden.png").write_text("x")
    data = image_folder(tmp_path, {}, None, 0)
    assert any("1 files that aren't images were skipped (.txt: 1)" in note for note in data.notes)


@pytest.mark.parametrize("given", [{}, {"size": 6, "channels": 3}])
def test_an_unreadable_image_is_named(tmp_path: Path, given: dict[str, int]) -> None:
    make(tmp_path)
    whole = (tmp_path / "train" / "dog" / "7.png").read_bytes()
    (tmp_path / "train" / "dog" / "7.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"train/dog/7\.png can't be read as an image"):
        image_folder(tmp_path, given, None, 0)


def test_an_image_of_text_is_named_before_training_even_if_decoded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    monkeypatch.setattr(folder, "MEMORY_BYTES", 100)
    (tmp_path / "test" / "dog" / "7.png").write_text("no image")
    with pytest.raises(DataError, match=r"test/dog/7\.png can't be read as an image"):
        image_folder(tmp_path, {"size": 6, "channels": 3}, None, 0)


def test_sizes_that_differ(tmp_path: Path) -> None:
    make(tmp_path)
    write(tmp_path / "test" / "dog" / "7.png", size=(6, 7))
    with pytest.raises(DataError, match=r"different sizes: .*0\.png 6x6, .*test/dog/7\.png 6x7") as caught:
        image_folder(tmp_path, {}, None, 0)
    assert "size=" in caught.value.hint


def test_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder train/; it is empty"):
        image_folder(tmp_path, {}, None, 0)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="train has no class folders"):
        image_folder(tmp_path, {}, None, 0)
    (tmp_path / "train" / "cat").mkdir()
    with pytest.raises(DataError, match="cat has no images"):
        image_folder(tmp_path, {}, None, 0)


def test_one_class_only(tmp_path: Path) -> None:
    for i in range(5):
        write(tmp_path / "train" / "cat" / f"{i}.png")
    with pytest.raises(DataError, match="one class only, 'cat'"):
        image_folder(tmp_path, {}, None, 0)


def test_class_folders_that_differ(tmp_path: Path) -> None:
    make(tmp_path)
    write(tmp_path / "test" / "wolf" / "0.png")
    with pytest.raises(DataError, match="differ: wolf is in one of them only"):
        image_folder(tmp_path, {}, None, 0)


def folder_of(path: Path, images: dict[str, bytes]) -> Path:
    for name, content in images.items():
        for place in ("a/one.png", "b/two.png"):
            file = path / "train" / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_name(name).write_bytes(content)
    return path


def packed(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


GREY = Image.new("L", (4, 4), 9)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed(Image.new("RGB", (4, 4)), "DDS"), "can't be read as an image"),
        (packed(GREY, "PNG")[:-20], "can't be read as an image"),
        (packed(Image.new("1", (11_000, 11_000)), "PNG"), "11000x11000 pixels, wanted at most 100 million"),
        (packed(Image.new("1", (1, 200_000)), "PNG"), "too long and thin"),
        (packed(Image.new("F", (4, 4), 0.5), "TIFF"), "has floats for pixels"),
        (b"", "can't be read as an image"),
    ],
)
def test_images_that_are_none(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        image_folder(folder_of(tmp_path, {"x.png": content}), {"size": 64, "channels": 3}, None, 0)


def test_sixteen_bits_of_grey_keep_their_upper_eight(tmp_path: Path) -> None:
    values = np.array([[0, 255], [256, 65535]], dtype=np.uint16)
    file = tmp_path / "x.png"
    Image.fromarray(values).save(file)
    assert decode_all([file], Format(1, 2, 2)).flatten().tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("size", [60_000, 2**63, [1, 2**40]])
def test_a_size_that_no_machine_holds(tmp_path: Path, size: Any) -> None:
    with pytest.raises(DataError, match=r"would take .* GB, wanted at most"):
        image_folder(folder_of(tmp_path, {"x.png": packed(GREY, "PNG")}), {"size": size}, None, 0)
