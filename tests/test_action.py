"""The GitHub Action's own steps, run in a scratch repository through a pull request's life; the pre-commit hook."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from written_runs import write_run

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
GIT = shutil.which("git")


def step(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the action's steps as a runner does: inputs by the environment that each names."""
    given = {name: value.get("default", "") for name, value in ACTION["inputs"].items()} | inputs
    programs = Path(sys.executable).parent
    known = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **known, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = None
    for one in ACTION["runs"]["steps"]:
        own = {
            name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: given[found[1]], text)
            for name, text in one["env"].items()
        }
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", one["run"]],
            cwd=folder,
            env={**environment, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            break
    assert done is not None
    return done


def git(folder: Path, *typed: str) -> str:
    assert GIT is not None
    own = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main")
    return subprocess.run([GIT, *own, *typed], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(GIT is None, reason="git is not installed")
def test_a_pull_request_with_a_model_that_grew_by_an_eighth(tmp_path: Path) -> None:
    (tmp_path / "compress.toml").write_text('[gate]\nbaseline = "baseline.json"\nseconds = 1.0\n')
    write_run(tmp_path / "model", layers=25)
    git(tmp_path, "init")
    assert step(tmp_path, path="model", install="no").returncode == 2
    update = [sys.executable, "-m", "compressor", "gate", "model", "--update"]
    subprocess.run(update, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "the model that ships")
    assert step(tmp_path, path="model", install="no").returncode == 0

    git(tmp_path, "checkout", "-b", "larger")
    shutil.rmtree(tmp_path / "model")
    write_run(tmp_path / "model", layers=28)
    git(tmp_path, "commit", "-am", "a larger model")
    failed = step(tmp_path, path="model", install="no")
    assert failed.returncode == 6
    assert "::error title=compress gate%3A size against the baseline::" in failed.stdout
    row = next(line for line in (tmp_path / "compress-gate.md").read_text().splitlines() if "| size against" in line)
    assert "❌" in row and re.search(r"\+1[12](\.\d)? %", row) and "at most +1 %" in row
    assert row in (tmp_path / "summary.md").read_text()

    subprocess.run(update, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert "baseline.json" in git(tmp_path, "status", "--short")
    git(tmp_path, "commit", "-am", "it is meant to be larger")
    assert step(tmp_path, path="model", install="no").returncode == 0


def test_what_a_person_types_is_no_script(tmp_path: Path) -> None:
    write_run(tmp_path / "model")
    done = step(tmp_path, path="model", options="--max-size 1MB $(touch made) ; touch made", install="no")
    assert done.returncode == 2
    assert not (tmp_path / "made").exists()
    # Nothing of the inputs is put into the script itself.
    assert all("${{" not in one["run"] for one in ACTION["runs"]["steps"])


def test_the_hook_and_the_example_name_what_there_is() -> None:
    from compressor.gate import Gate

    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "compress gate"
    table = tomllib.loads((ROOT / "examples" / "03_gate" / "compress.toml").read_text())["gate"]
    assert Gate.model_validate(table).tolerate.size == pytest.approx(0.02)
    workflow = yaml.safe_load((ROOT / "examples" / "03_gate" / "workflow.yml").read_text())
    used = next(one for one in workflow["jobs"]["gate"]["steps"] if "compressor@" in one.get("uses", ""))
    assert set(used["with"]) <= set(ACTION["inputs"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert used["uses"].endswith(f"@v{project['version']}")
