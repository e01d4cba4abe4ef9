"""Arrays that say themselves what of them isn't written."""

from pathlib import Path

import numpy as np

from compressor.distill.kept_arrays import kept_array, unwritten


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "kind-1.npy"
    kept_array(path, (3, 2), "kind-")[1] = 5
    again = kept_array(path, (3, 2), "kind-")
    assert again[1].tolist() == [5, 5] and unwritten(again).tolist() == [True, False, True]
    again[2, 0] = 1
    assert unwritten(again).tolist() == [True, False, True]


def test_another_shape_or_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "kind-1.npy"
    kept_array(path, (3, 2), "kind-")[:] = 5
    assert np.isnan(kept_array(path, (3, 4), "kind-")).all()
    path.write_bytes(path.read_bytes()[:-4])
    assert unwritten(kept_array(path, (3, 4), "kind-")).all()


def test_others_of_the_kind_are_removed(tmp_path: Path) -> None:
    for name in ("kind-1.npy", "kind-2.npy.tmp", "other-1.npy"):
        (tmp_path / name).touch()
    kept_array(tmp_path / "kind-3.npy", (1, 1), "kind-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kind-3.npy", "other-1.npy"]
