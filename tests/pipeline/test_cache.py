"""Keys change with what changes a result, and a folder is done only when it says so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compressor.errors import InputError
from compressor.pipeline.cache import StageFolder, stage_key
from compressor.prune.stage import Prune
from compressor.report import StageRecord

RECORD = StageRecord(name="01-x", kind="x", seconds=1, metrics={"loss": float("nan"), "rate": 2.0})


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
    done = folder.finish(RECORD, "c")
    found = folder.result()
    assert found is not None and found.model_dump_json() == done.model_dump_json() and found.content == "c"
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


def finished(path: Path) -> StageFolder:
    folder = StageFolder(path / "01-x", "key")
    folder.begin(fresh=False)
    (folder.path / "kit").mkdir()
    for name in ("model.onnx", "decisions.json", "kit/infer.py"):
        (folder.path / name).write_text("content")
    folder.finish(RECORD, "c")
    return folder


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f / "model.onnx").unlink(),
        lambda f: (f / "model.onnx").write_text("conten"),
        lambda f: as_folder(f / "model.onnx"),
        lambda f: (f / "kit" / "infer.py").unlink(),
        lambda f: shutil.rmtree(f / "kit"),
        lambda f: (f / "stage.json").write_text("[]"),
        lambda f: (f / "stage.json").write_text("[" * 10**5),
        lambda f: (f / "stage.json").write_bytes((f / "stage.json").read_bytes()[:-9]),
        lambda f: as_folder(f / "stage.json"),
        lambda f: rewrite(f / "stage.json", content="d"),
        lambda f: rewrite(f / "stage.json", files=[]),
        lambda f: rewrite(f / "stage.json", record=None),
        lambda f: as_folder(f / "key.txt") or (f / "model.onnx").unlink(),
    ],
)
def test_a_folder_that_is_not_as_it_was_left_is_redone(spoil: Callable[[Path], object], tmp_path: Path) -> None:
    folder = finished(tmp_path)
    assert folder.result() is not None
    spoil(folder.path)
    assert folder.result() is None
    folder.begin(fresh=False)
    assert [path.name for path in folder.path.iterdir()] == ["key.txt"]
    folder.finish(RECORD, "c")
    assert folder.result() is not None


def test_what_a_reader_changes_or_adds_is_no_damage(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    (folder.path / "kit" / "infer.py").write_text("print(1)")
    (folder.path / "notes.txt").write_text("mine")
    assert folder.result() is not None


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_no_stage_wrote_is_left_alone(kind: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "photo.png").write_text("mine")
    folder = StageFolder(tmp_path / "01-x", "key")
    match kind:
        case "file":
            folder.path.write_text("mine")
        case "link":
            folder.path.symlink_to(mine)
        case _:
            mine.rename(folder.path)
            mine = folder.path
    with pytest.raises(InputError, match="01-x"):
        folder.begin(fresh=True)
    assert (mine / "photo.png").read_text() == "mine"
