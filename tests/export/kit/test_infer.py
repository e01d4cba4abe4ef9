"""The script beside every artifact, run with onnxruntime and numpy alone."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compressor.data import Data
from compressor.export.artifacts import write_infer_script
from compressor.models import OnnxModel, TorchModel

# Starts a script in a process where everything but the standard library and the named packages is absent.
ALONE = """
import runpy, sys
allowed = set(sys.argv[1].split(","))
class Absent:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in allowed and root not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {root!r}", name=root)
sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NEEDED = "onnxruntime,numpy"


@pytest.fixture
def folder(trained_onnx: OnnxModel, data: Data, tmp_path: Path) -> Path:
    """An artifact's folder with images as a user may have them."""
    (tmp_path / "model.onnx").write_bytes(trained_onnx.path.read_bytes())
    write_infer_script(OnnxModel(tmp_path / "model.onnx", trained_onnx.info))
    images = data.test.fetch(torch.arange(40))[0].numpy()
    np.save(tmp_path / "nchw.npy", images)
    np.save(tmp_path / "nhwc.npy", images.transpose(0, 2, 3, 1))
    np.save(tmp_path / "nhw.npy", images[:, 0])
    np.save(tmp_path / "one.npy", images[0, 0])
    np.savez(tmp_path / "several.npz", labels=np.arange(3), x_test=images)
    Image.fromarray(images[0, 0]).save(tmp_path / "one.png")
    return tmp_path


def _run(folder: Path, *arguments: str, allowed: str = NEEDED) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE, allowed, str(folder / "infer.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)


def _probabilities(model: TorchModel, data: Data) -> np.ndarray:
    with torch.no_grad():
        return model.module(*data.batch("test", torch.arange(40)).inputs).softmax(1).numpy()


def test_answers_as_the_network_does(folder: Path, trained: TorchModel, data: Data) -> None:
    done = _run(folder, str(folder / "nchw.npy"), "--json", "--batch", "7")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line)["classes"][0] for line in done.stdout.splitlines()]
    expected = _probabilities(trained, data)
    assert [a["label"] for a in answers] == expected.argmax(1).tolist()
    np.testing.assert_allclose([a["probability"] for a in answers], expected.max(1), atol=1e-5)
    assert [a["class"] for a in answers] == [data.classes[label] for label in expected.argmax(1)]


def test_every_layout_gives_the_same_answers(folder: Path) -> None:
    first = _run(folder, str(folder / "nchw.npy")).stdout
    assert len(first.splitlines()) == 40
    for name in ("nhwc.npy", "nhw.npy"):
        assert _run(folder, str(folder / name)).stdout == first
    assert _run(folder, str(folder / "several.npz"), "--key", "x_test").stdout == first
    assert _run(folder, str(folder / "one.npy")).stdout.splitlines() == first.splitlines()[:1]
    picture = _run(folder, str(folder / "one.png"), allowed=f"{NEEDED},PIL")
    assert picture.stdout.splitlines() == first.splitlines()[:1], picture.stderr


def test_top_prints_the_likeliest_first(folder: Path, trained: TorchModel, data: Data) -> None:
    line = _run(folder, str(folder / "one.npy"), "--top", "3").stdout
    best = np.argsort(-_probabilities(trained, data)[0])[:3]
    assert [part.split()[0] for part in line.strip().partition(": ")[2].split(", ")] == [data.classes[b] for b in best]


@pytest.mark.parametrize(
    ("file", "arguments", "said"),
    [
        ("one.png", [], "Pillow"),
        ("none.npy", [], "none.npy"),
        ("several.npz", ["--key", "x"], "labels, x_test"),
        ("wrong.npy", [], "(3, 9, 9)"),
    ],
    ids=["picture-without-pillow", "no-file", "no-key", "wrong-shape"],
)
def test_what_it_cannot_read_is_said(folder: Path, file: str, arguments: list[str], said: str) -> None:
    np.save(folder / "wrong.npy", np.zeros((3, 9, 9), np.uint8))
    done = _run(folder, str(folder / file), *arguments)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_the_process_really_is_alone(folder: Path) -> None:
    (folder / "infer.py").write_text("import torch\n")
    assert "No module named 'torch'" in _run(folder).stderr


@pytest.mark.slow
def test_in_an_environment_with_onnxruntime_and_numpy_alone(folder: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "onnxruntime", "numpy"], check=True)
    done = subprocess.run(
        [python, folder / "infer.py", folder / "nchw.npy"], capture_output=True, text=True, check=True
    )
    assert done.stdout == _run(folder, str(folder / "nchw.npy")).stdout
