"""Whose files are whose: what a run may write over, and what it leaves alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from compressor.errors import InputError
from compressor.pipeline.folder import claim, is_run, point_to


def a_run(path: Path) -> Path:
    (path / "00-reference").mkdir(parents=True)
    (path / "00-reference" / "key.txt").write_text("key")
    return path


def test_the_pointer_follows_the_newest_run(tmp_path: Path) -> None:
    assert point_to(a_run(tmp_path / "one"))
    assert (tmp_path / "last").read_text() == f"{tmp_path / 'one'}\n"
    assert point_to(tmp_path / "two")
    assert (tmp_path / "last").read_text() == f"{tmp_path / 'two'}\n"
    # Its run was removed since.
    assert point_to(tmp_path / "three")


def identity(path: Path) -> tuple[int, ...]:
    """What changes when a file is written, replaced or touched; reading it moves only its access time."""
    stat = path.lstat()
    return stat.st_mode, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("my notes\n"),
        lambda path: path.write_text("notes"),
        lambda path: path.write_text("a\nb\n"),
        lambda path: path.write_text(""),
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: path.write_bytes(b"/elsewhere/x\0\n"),
        lambda path: path.write_text("x" * 10**5 + "\n"),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path),
    ],
)
def test_the_users_own_last_is_left_alone(make: Callable[[Path], object], tmp_path: Path) -> None:
    pointer = tmp_path / "last"
    make(pointer)
    before = identity(pointer)
    assert not point_to(a_run(tmp_path / "run"))
    assert identity(pointer) == before


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda out: out.write_text("mine"), "not a folder"),
        (lambda out: out.symlink_to("nowhere"), "link to nothing"),
        (lambda out: (out / "report.json").mkdir(parents=True), "report.json is in the way"),
        (lambda out: out.mkdir() or (out / "report.html").symlink_to("x"), "report.html is in the way"),
        (lambda out: out.mkdir() or (out / "report.json").write_text("{}"), "report.json is not a run's"),
        (lambda out: out.mkdir() or (out / "report.html").write_text("mine"), "report.html is not a run's"),
    ],
)
def test_the_users_own_files_are_not_written_over(make: Callable[[Path], object], reason: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    with pytest.raises(InputError, match=reason):
        claim(out)


def test_a_runs_own_folder_and_an_empty_one_are_taken(tmp_path: Path) -> None:
    claim(tmp_path / "new")
    out = a_run(tmp_path / "run")
    (out / "report.json").write_text("cut")
    claim(out)
    assert is_run(a_run(tmp_path / "seeds" / "seed-3").parent)
    (tmp_path / "linked").symlink_to(out)
    claim(tmp_path / "linked")
