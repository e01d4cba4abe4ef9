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


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_runs_as_its_page_says(folder: Path, tmp_path: Path) -> None:
    page = (folder / "README.md").read_text()
    assert "## What you get" in page
    block = re.search(r"^## Run\n+```\n(.*?)\n```", page, flags=re.MULTILINE | re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        python, script, *rest = shlex.split(line)
        assert python == "python"
        command = [sys.executable, str(folder / script), *rest, "--quick"]
        result = subprocess.run(
            command,
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
