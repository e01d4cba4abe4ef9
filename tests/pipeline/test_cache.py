"""Keys change with what changes a result, and a folder is done only when it says so."""

from pathlib import Path

from compressor.pipeline.cache import StageFolder, stage_key
from compressor.prune.stage import Prune


def test_keys() -> None:
    key = stage_key(Prune(ratio=0.5), "parent", {"seed": 0})
    assert key == stage_key(Prune(ratio=0.5), "parent", {"seed": 0})
    others = [
        stage_key(Prune(ratio=0.6), "parent", {"seed": 0}),
        stage_key(Prune(ratio=0.5), "other", {"seed": 0}),
        stage_key(Prune(ratio=0.5), "parent", {"seed": 1}),
        stage_key(None, "parent", {"seed": 0}),
    ]
    assert len({key, *others}) == 5


def test_a_folder_is_done_by_its_key_only(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "01-x", "key")
    folder.begin(fresh=False)
    assert folder.result() is None
    (folder.path / "train.ckpt").write_text("state")
    folder.finish({"content": "c"})
    assert folder.result() == {"key": "key", "content": "c"}
    assert not (folder.path / "train.ckpt").exists()
    assert StageFolder(folder.path, "other").result() is None


def test_interrupted_work_of_the_same_key_is_kept(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "01-x", "key")
    folder.begin(fresh=False)
    (folder.path / "train.ckpt").write_text("state")
    (folder.path / "model.onnx.tmp").write_text("half")
    folder.begin(fresh=False)
    assert (folder.path / "train.ckpt").exists()
    assert not (folder.path / "model.onnx.tmp").exists()
    StageFolder(folder.path, "other").begin(fresh=False)
    assert not (folder.path / "train.ckpt").exists()
