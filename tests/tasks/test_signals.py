"""Signals from an npz file to a pruned int8 file, as the command line does it, and what is refused on the way."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compressor.errors import DataError
from compressor.tasks import make_task
from compressor.tasks.signals import signals

NETWORK = """
from torch import nn

def build(channels=2, width=32, classes=3):
    return nn.Sequential(
        nn.Conv1d(channels, width, 7, stride=2, padding=3), nn.BatchNorm1d(width), nn.ReLU(),
        nn.Conv1d(width, 2 * width, 5, stride=2, padding=2), nn.BatchNorm1d(2 * width), nn.ReLU(),
        nn.Conv1d(2 * width, 2 * width, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2 * width, classes))
"""


def waves(count: int, seed: int) -> tuple[Any, Any]:
    """Sines, squares and saws of random frequency and phase in noise, (N, 2, 96), and their names."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    turns = rng.uniform(2, 6, (count, 1, 1)) * np.linspace(0, 1, 96) + rng.uniform(0, 1, (count, 2, 1))
    sine = np.sin(2 * np.pi * turns)
    made = np.choose(labels[:, None, None], [sine, np.sign(sine), 2 * (turns % 1) - 1])
    return (made + rng.normal(0, 0.2, made.shape)).astype(np.float32), np.array(["sine", "square", "saw"])[labels]


def archive(path: Path, **changes: Any) -> Path:
    (x, y), (x_test, y_test) = waves(360, 0), waves(120, 1)
    np.savez(path, **{"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test, **changes})
    return path


def test_from_an_archive_to_a_file_that_is_smaller_and_answers(tmp_path: Path) -> None:
    archive(tmp_path / "waves.npz")
    (tmp_path / "own_network.py").write_text(NETWORK)

    def compress(*typed: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "compressor", *typed]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    said = ("--data", "waves.npz", "--task", "signal-classification", "--trust")
    compress("train", "own_network:build", *said, "--set", "epochs=6", "--set", "batch_size=32", "--out", "net.pt")
    few = [f"{kind}.train.epochs=3" for kind in ("prune", "quantize")] + ["prune.train.batch_size=32"]
    settings = [part for one in (*few, "prune.ratio=0.5", "budget.score_drop=0.05") for part in ("--set", one)]
    compress("run", "--profile", "mobile-cpu", "net.pt", "--trust", "--without", "distill", *settings, "--out", "run")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    first, last = report["stages"][0], report["stages"][-1]
    assert first["score"] > 0.9 and report["ratios"]["size"] > 2
    assert last["latency_ms"]["p50"] and report["data"]["source"] == "waves.npz"
    folder = tmp_path / "run" / last["name"]
    x, y = waves(30, 2)
    np.save(tmp_path / "some.npy", x)
    infer = [sys.executable, str(folder / "infer.py"), "some.npy", "--json"]
    shown = subprocess.run(infer, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    named = [json.loads(line)["classes"][0]["class"] for line in shown]
    assert np.mean(np.array(named) == y) > 0.8


def test_channels_may_be_left_out_and_numbers_be_of_any_kind() -> None:
    assert signals(np.arange(6, dtype=np.int16).reshape(2, 3), "x").shape == (2, 1, 3)
    made = signals(np.ones((2, 4, 3)), "x")
    assert made.shape == (2, 4, 3) and made.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_train": np.zeros((360, 2, 3, 4))}, "wanted (N, T) or (N, channels, T)"),
        ({"x_train": np.full((360, 2, 96), np.nan)}, "NaN or infinity"),
        ({"x_train": np.array([["a"] * 4] * 360)}, "wanted numbers"),
        ({"x_test": np.zeros((120, 2, 95))}, "samples of different shapes"),
        ({"y_train": np.zeros(3)}, "360 rows, y_train 3"),
    ],
)
def test_what_is_no_signal_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = archive(tmp_path / "waves.npz", **changes)
    with pytest.raises(DataError) as error:
        make_task("signal-classification").modality.read(str(path), {})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("args", "said"), [({"size": 3}, "takes no --data-arg 'size'"), ({"classes": 3}, "wanted a list")]
)
def test_what_it_takes_is_said(tmp_path: Path, args: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        make_task("signal-classification").modality.read(str(archive(tmp_path / "waves.npz")), args)


def test_more_signals_join_without_labels(tmp_path: Path) -> None:
    modality = make_task("signal-classification").modality
    data = modality.read(str(archive(tmp_path / "waves.npz")), {})
    more = modality.read_unlabeled(data, str(archive(tmp_path / "more.npz")), {})
    assert more.unlabeled and len(more.train) == len(data.train) + more.unlabeled
    read: Callable[..., Any] = modality.read_unlabeled
    with pytest.raises(DataError, match="inputs are"):
        read(
            data,
            str(archive(tmp_path / "others.npz", x_train=waves(360, 0)[0][:, :1], x_test=waves(120, 0)[0][:, :1])),
            {},
        )
