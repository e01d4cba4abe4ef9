import gzip
import struct
from pathlib import Path

import pytest
import torch

from compressor.data.idx import FASHION_MNIST, fashion_mnist, mnist_idx, read_idx
from compressor.errors import DataError


def idx(values: torch.Tensor) -> bytes:
    header = struct.pack(f">HBB{values.dim()}I", 0, 8, values.dim(), *values.shape)
    return header + values.to(torch.uint8).numpy().tobytes()


def write_folder(folder: Path, zipped: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = torch.randint(0, 256, (60, 4, 5)), torch.arange(60) % 3
    for prefix in ("train", "t10k"):
        for name, values in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            content = idx(values)
            end = ".gz" if zipped else ""
            (folder / f"{prefix}-{name}{end}").write_bytes(gzip.compress(content) if zipped else content)
    return images, labels


@pytest.mark.parametrize("zipped", [False, True])
def test_four_files(tmp_path: Path, zipped: bool) -> None:
    images, labels = write_folder(tmp_path, zipped)
    data = mnist_idx(str(tmp_path), {}, None, seed=0)
    assert torch.equal(data.test.fetch(torch.arange(60))[0], images[:, None].to(torch.uint8))
    assert torch.equal(data.test.labels, labels)
    assert len(data.train) == 54 and len(data.validation) == 6
    assert not data.flip
    assert mnist_idx(str(tmp_path), {"flip": True}, None, seed=0).flip


def test_truncated(tmp_path: Path) -> None:
    write_folder(tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte is truncated: 1215 bytes .* promises 1216"):
        mnist_idx(str(tmp_path), {}, None, seed=0)


def test_truncated_gzip(tmp_path: Path) -> None:
    write_folder(tmp_path, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz can't be read"):
        mnist_idx(str(tmp_path), {}, None, seed=0)


@pytest.mark.parametrize("content", [b"", b"hello, this is no IDX file at all", idx(torch.zeros(3))])
def test_not_three_axes_of_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match="not an IDX file of unsigned bytes with 3 axes"):
        read_idx(tmp_path / "x", 3)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no train-images-idx3-ubyte"):
        mnist_idx(str(tmp_path), {}, None, seed=0)
    with pytest.raises(DataError, match="no folder"):
        mnist_idx(str(tmp_path / "none"), {}, None, seed=0)
    with pytest.raises(DataError, match="needs a folder"):
        mnist_idx("", {}, None, seed=0)


def test_counts_that_differ(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(torch.arange(59) % 3))
    with pytest.raises(DataError, match=r"60 images, .* 59 labels"):
        mnist_idx(str(tmp_path), {}, None, seed=0)


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="apt-get install dataset-fashion-mnist")
def test_fashion_mnist_of_the_system() -> None:
    data = fashion_mnist("", {}, None, seed=0)
    assert (len(data.train), len(data.validation), len(data.test)) == (54_000, 6_000, 10_000)
    assert data.test.labels.bincount().tolist() == [1000] * 10
    assert data.classes[9] == "Ankle boot"
    assert data.test.labels[0] == 9  # the first test image is a boot
    assert data.normalise is not None
    assert data.normalise.mean == pytest.approx((0.2860,), abs=1e-3)
    assert data.normalise.std == pytest.approx((0.3530,), abs=1e-3)
    assert data.flip


def test_a_header_is_believed_only_as_far_as_memory_and_the_file_go(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    for shape, content, words in (
        ((2**32 - 1,) * 3, b"", "would take"),
        ((150_000_000, 1, 1), bytes(150_000_000), "would unpack from"),
        ((2, 2, 2), bytes(9), "more bytes after decompression, its header promises 24"),
    ):
        path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", *shape) + content, 6))
        with pytest.raises(DataError, match=words):
            read_idx(path, 3)
