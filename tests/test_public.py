"""The public surface: what ``import compressor`` offers, and what it costs."""

import importlib
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import compressor

HEAVY = ("torch", "onnx", "onnxruntime", "pydantic", "accelerate", "numpy", "rich")


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh process has loaded after some code."""
    report = f"{code}\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


def test_all_is_what_there_is() -> None:
    assert sorted(set(compressor.__all__)) == sorted(compressor.__all__)
    for name in compressor.__all__:
        assert getattr(compressor, name) is not None
    assert set(compressor.__all__) <= set(dir(compressor))
    with pytest.raises(AttributeError):
        compressor.no_such_name  # noqa: B018


def test_every_package_offers_what_it_names() -> None:
    root = Path(compressor.__file__).parent
    for folder in sorted(path.parent for path in root.glob("*/__init__.py")):
        package = importlib.import_module(f"compressor.{folder.name}")
        missing = [name for name in getattr(package, "__all__", ()) if not hasattr(package, name)]
        assert not missing, package


def test_import_is_light() -> None:
    assert loaded_by("import compressor") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["profiles", "list"]])
def test_help_imports_no_torch(arguments: list[str]) -> None:
    code = (
        f"from click.testing import CliRunner\nfrom compressor.cli.main import main\n"
        f"result = CliRunner().invoke(main, {arguments!r})\nassert result.exit_code == 0, result.output"
    )
    assert "torch" not in loaded_by(code)


@pytest.mark.latency
def test_help_answers_at_once() -> None:
    command = [str(Path(sys.executable).with_name("compress")), "--help"]
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.2


def test_version_is_the_projects() -> None:
    text = (Path(compressor.__file__).parents[1] / "pyproject.toml").read_text()
    written = re.search(r'^version = "(.+)"$', text, flags=re.MULTILINE)
    assert written is not None
    assert importlib.import_module("importlib.metadata").version("compressor") == written[1]
