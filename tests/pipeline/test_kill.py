"""A run that was really killed goes on, and ends with the weights of one that never was."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

STAGES = ("01-distill", "02-prune", "03-quantize", "04-export")
TRAINED = STAGES[:3]
SHORT = [
    "train.precision='fp32'",
    "train.epochs=3",
    "train.batch_size=128",
]
OVERRIDES = [f"{kind}.{text}" for kind in ("distill", "prune", "quantize") for text in SHORT]
# Two folders decide by the clock each on its own: what is compared must not hang on it.
OVERRIDES += ["distill.student='same'", "prune.ratio=0.5", "quantize.measure=false"]
LONGEST = 120.0
TRIES = 3


def command(checkpoint: Path, out: Path, last: str) -> list[str]:
    chosen = [part for text in OVERRIDES for part in ("--set", text)]
    base = [sys.executable, "-m", "compressor", "run", "--profile", "mobile-cpu", str(checkpoint), "--out", str(out)]
    after = [name.partition("-")[2] for name in STAGES[STAGES.index(last) + 1 :]]
    return [*base, "--device", "cpu", *chosen, *(["--stop-before", after[0]] if after else [])]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def weights(out: Path, last: str) -> dict[str, str]:
    """The weights of every stage and the exported bytes, by digest."""
    files = [*(out / name / "model.safetensors" for name in TRAINED), out / STAGES[3] / "model.onnx"]
    files = files[: STAGES.index(last) + 1]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def finish(checkpoint: Path, out: Path, last: str = STAGES[-1]) -> None:
    result = subprocess.run(
        command(checkpoint, out, last), env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode in (0, 6), result.stderr


def kill_when(checkpoint: Path, out: Path, last: str, happened: Callable[[], bool], delay: float) -> bool:
    """Start a run and kill it once something has happened; whether it was killed before its end."""
    process = subprocess.Popen(
        command(checkpoint, out, last), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + LONGEST
    while process.poll() is None and time.monotonic() < deadline and not happened():
        time.sleep(0.001)
    time.sleep(delay)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.fixture(scope="session")
def uninterrupted(digits_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    finish(digits_checkpoint, out)
    return out


def events(out: Path, stage: str) -> dict[str, tuple[Callable[[], bool], float]]:
    """What to wait for before the kill, and how much longer. Nothing is trained in the export: it has steps instead."""
    folder = out / stage
    written = (lambda: any(folder.glob("*.tmp")), 0.0)
    if stage == "04-export":
        return {
            "before its first file": (folder.exists, 0.2),
            "between its steps": ((folder / "model.onnx").exists, 0.0),
            "during export": ((folder / "fp32.onnx").exists, 0.05),
            "while a file is written": written,
        }
    return {
        "between epochs": (lambda: any(folder.glob("*.ckpt")), 0.0),
        "inside an epoch": (lambda: any(folder.glob("*.ckpt")), 0.07),
        "during export": (lambda: (folder / "structure.json").exists(), 0.3),
        "while a file is written": written,
    }


def check(stage: str, moment: str, uninterrupted: Path, checkpoint: Path, out: Path) -> None:
    done = STAGES[: STAGES.index(stage)]
    happened, delay = events(out, stage)[moment]
    # A moment of milliseconds passes unseen on a busy machine.
    for _ in range(TRIES):
        shutil.rmtree(out, ignore_errors=True)
        for name in ("00-reference", *done):
            shutil.copytree(uninterrupted / name, out / name)
        # What comes after the stage hangs on its weights alone, which are compared.
        if kill_when(checkpoint, out, stage, happened, delay):
            break
    else:
        pytest.fail(f"{TRIES} runs ended before they could be killed")
    finish(checkpoint, out, stage)
    assert weights(out, stage) == weights(uninterrupted, stage)


@pytest.mark.parametrize(
    ("stage", "moment"),
    [
        ("01-distill", "between epochs"),
        ("02-prune", "inside an epoch"),
        ("03-quantize", "during export"),
        ("04-export", "while a file is written"),
    ],
)
def test_killed_once_in_every_stage(
    stage: str, moment: str, uninterrupted: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    check(stage, moment, uninterrupted, digits_checkpoint, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "moment"), [(stage, moment) for stage in STAGES for moment in events(Path(), stage)])
def test_killed_anywhere(stage: str, moment: str, uninterrupted: Path, digits_checkpoint: Path, tmp_path: Path) -> None:
    check(stage, moment, uninterrupted, digits_checkpoint, tmp_path / "run")
