"""A state is read back by its own identity only, and a full disk leaves no partial file."""

from pathlib import Path

import pytest
import torch

from compressor.errors import DiskFullError
from compressor.training.checkpoint import TrainState, read_state, write_state


def test_round_trip_by_identity(tmp_path: Path) -> None:
    path = tmp_path / "train.ckpt"
    write_state(path, TrainState("a", epoch=2, module={"w": torch.ones(2)}))
    assert read_state(path, "a").epoch == 2
    assert read_state(path, "b") == TrainState("b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["train.ckpt"]


def test_full_disk() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    folder = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")
    target = folder / "compressor-full.ckpt"
    partial = target.with_name(target.name + ".tmp")
    partial.unlink(missing_ok=True)
    partial.symlink_to(full)
    try:
        with pytest.raises(DiskFullError, match="no space left"):
            write_state(target, TrainState("a", module={"w": torch.ones(100_000)}))
        assert not partial.is_symlink()
        assert not target.exists()
    finally:
        partial.unlink(missing_ok=True)
