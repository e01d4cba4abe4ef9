"""A file is whole or absent."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compressor.errors import DiskFullError
from compressor.writing import write_atomically


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match="no space left to write"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [left.name for left in tmp_path.iterdir()] == ["file"]


def test_two_processes_may_write_the_same_file(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from compressor.writing import write_atomically\n"
        "for turn in range(300): write_atomically(Path(sys.argv[1]), sys.argv[2].encode() * 1000)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "last"), who]) for who in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert (tmp_path / "last").read_bytes() in (b"a" * 1000, b"b" * 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
