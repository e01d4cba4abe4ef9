"""A state is read back by its own identity only, and a full disk leaves no partial file."""

from pathlib import Path

import pytest
import torch
from torch import nn

from compressor.errors import DiskFullError, InputError
from compressor.training.checkpoint import TrainState, put_back, read_state, restoring, write_state


def test_round_trip_by_identity(tmp_path: Path) -> None:
    path = tmp_path / "train.ckpt"
    write_state(path, TrainState("a", epoch=2, module={"w": torch.ones(2)}))
    assert read_state(path, "a").epoch == 2
    assert read_state(path, "b") == TrainState("b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["train.ckpt"]


def test_what_is_no_state_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "train.ckpt"
    for wrong in ([], {"identity": "a"}, vars(TrainState("a")) | {"epoch": "2"}, vars(TrainState("a")) | {"more": 1}):
        torch.save(wrong, path)
        assert read_state(path, "a") == TrainState("a")
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"train\.ckpt is a folder"):
        read_state(path, "a")


def test_a_state_of_another_network_is_named(tmp_path: Path) -> None:
    said = r"train\.ckpt doesn't hold the state of this training"
    with pytest.raises(InputError, match=said), restoring(tmp_path / "train.ckpt"):
        put_back(nn.Linear(2, 2), {"weight": torch.zeros(3, 2)})


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


class Versioned(nn.Linear):
    """As torchvision's MNASNet: takes no state_dict that doesn't say of which version it is."""

    _version = 2

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *others):  # type: ignore[no-untyped-def]
        if local_metadata.get("version") != 2:
            raise ValueError("version should be set")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)


def test_copies_of_its_own_tensors_need_no_version() -> None:
    module = nn.Sequential(Versioned(2, 2))
    kept = {key: value.detach().clone() for key, value in module.state_dict().items()}
    with pytest.raises(ValueError, match="version"):
        module.load_state_dict(kept)
    nn.init.zeros_(module[0].weight)
    put_back(module, kept)
    assert torch.equal(module[0].weight, kept["0.weight"])
