"""Every example says what one gets and how to run it, and runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from compressor.report import Report

EXAMPLES = Path(__file__).parents[1] / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0].isdigit())


def test_there_are_examples() -> None:
    assert FOLDERS


def as_typed(line: str, folder: Path) -> list[str]:
    """A line of a page as a command, short where it can be."""
    program, name, *rest = shlex.split(line)
    assert program in ("python", "compress")
    if program == "compress":
        return [sys.executable, "-m", "compressor", name, *rest, *(["--quick"] if name == "run" else [])]
    script = folder / name
    return [sys.executable, str(script), *rest, *(["--quick"] if "--quick" in script.read_text() else [])]


def test_the_readme_lists_every_example() -> None:
    page = (EXAMPLES.parent / "README.md").read_text()
    assert not [folder.name for folder in FOLDERS if f"](examples/{folder.name}/README.md)" not in page]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_runs_as_its_page_says(folder: Path, tmp_path: Path) -> None:
    page = (folder / "README.md").read_text()
    assert "## What you get" in page
    block = re.search(r"^## Run\n+```sh\n(.*?)\n```", page, flags=re.MULTILINE | re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        result = subprocess.run(
            as_typed(line, folder),
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
    reports = list(tmp_path.glob("runs/*/report.json"))
    assert reports
    for path in reports:
        assert Report.read(path).quick
        assert path.with_suffix(".html").exists()
