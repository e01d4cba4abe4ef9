"""What is published: a wheel and an sdist that work without the repository, and say the same version everywhere."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the sdist, as an index would have both."""
    made = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(made), "--target"]
    subprocess.run([*build, "sdist"], cwd=ROOT, check=True, capture_output=True)
    (sdist,) = made.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        packed.extractall(made, filter="data")
    unpacked = made / f"compressor-{VERSION}"
    subprocess.run([*build, "wheel"], cwd=unpacked, check=True, capture_output=True)
    (built,) = made.glob("*.whl")
    return built


def call(python: Path | str, folder: Path, *typed: str, path: Path | None = None) -> str:
    """One command as a user types it, away from the repository."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [str(python), "-P", "-m", "compressor", *typed],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wheel_has_the_package_its_profiles_and_their_schema_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"compressor", f"compressor-{VERSION}.dist-info"}
    for file in (*(ROOT / "profiles").iterdir(), *(ROOT / "compressor").rglob("*.py")):
        inside = file.relative_to(ROOT)
        assert ("compressor" / inside if inside.parts[0] == "profiles" else inside).as_posix() in names
    templates = [path.name for path in (ROOT / "compressor").rglob("*.j2")]
    assert templates
    assert set(templates) <= {Path(name).name for name in names}
    assert "compressor/py.typed" in names


def test_what_is_unpacked_from_a_wheel_answers(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    listed = json.loads(call(sys.executable, tmp_path, "profiles", "list", "--json", path=tmp_path / "installed"))
    assert {row["name"] for row in listed["profiles"]} >= {"mobile-cpu", "jetson"}
    shown = call(sys.executable, tmp_path, "--version", path=tmp_path / "installed")
    assert shown.strip() == f"compress {VERSION}"


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_does_the_main_job(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    torch = re.findall(r"^torch==.*$", constraints.read_text(), flags=re.MULTILINE)
    for wanted in (torch, [str(wheel)]):
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-c", str(constraints), *wanted], check=True)
    call(python, tmp_path, "example", "digits.pt")
    # A quick run's scores are no result: that it missed a goal is none either.
    amount = ("--quick", "--without", "distill", "--set", "prune.ratio=0.3", "--set", "budget.score_drop=0.9")
    call(python, tmp_path, "run", "--profile", "mobile-cpu", "digits.pt", *amount, "--out", "made")
    assert json.loads((tmp_path / "made" / "report.json").read_text())["status"] == "ok"
    call(python, tmp_path, "verify", "made")


def test_the_schema_of_profiles_is_the_one_that_is_published() -> None:
    from compressor.profile_schema import profile_schema

    path = ROOT / "profiles" / "profile.schema.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(profile_schema(), indent=1) + "\n")
    assert json.loads(path.read_text()) == profile_schema()


def test_version_and_description_are_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == VERSION
    assert citation["abstract"].rstrip(".") == PROJECT["description"]
    newest = re.search(r"^## (?:\[?([\d.]+)\]?|Unreleased)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] in (None, VERSION)
