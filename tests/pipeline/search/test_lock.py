"""A folder is one process's; a dead one lets go of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from compressor.errors import InputError
from compressor.pipeline.search.lock import LOCK, locked

HOLD = """
import sys, time
from pathlib import Path
from compressor.pipeline.search.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "search"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        said = rf"another process searches in this folder \(pid {process.pid}\)"
        with pytest.raises(InputError, match=said), locked(folder):
            pass
        process.kill()
    with locked(folder):
        assert (folder / LOCK).read_text() != f"{process.pid}\n"


def test_one_after_the_other(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            assert (tmp_path / LOCK).is_file()
