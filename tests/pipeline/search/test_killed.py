"""A search that is really killed: what it has is whole each time, and nothing finished is done twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnxruntime
import pytest

from compressor.report import Report

MOMENTS = 10
LONGEST = 400.0
# Between two kills so many moves get done, at least: about a tenth of a whole search's.
MOVES = (1, 7)
SETTINGS = ("prune.train.epochs=4", "quantize.train.epochs=1", "quantize.measure=false", "export.prefer='size'")


def command(checkpoint: Path, out: Path) -> list[str]:
    settings = [part for text in SETTINGS for part in ("--set", text)]
    base = [sys.executable, "-m", "compressor", "run", "--profile", "mobile-cpu", str(checkpoint), "--out", str(out)]
    return [*base, "--max-drop", "0.05", "--device", "cpu", *settings]


def finished(out: Path) -> dict[str, int]:
    """When each move of the search was declared done."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (out / "search").glob("*/stage.json")}


def check_whole(out: Path) -> None:
    """The best file so far, if there is one, is a file that ONNX Runtime loads and the report knows."""
    best, report = out / "best" / "model.onnx", out / "report.json"
    if best.exists():
        onnxruntime.InferenceSession(best, providers=["CPUExecutionProvider"])
    if report.exists():
        told = Report.read(report)
        assert told.status in ("interrupted", "ok", "budget_missed")
        assert json.loads(report.read_text())["stages"]


@pytest.mark.slow
def test_killed_at_random_moments(digits_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    draws = random.Random(0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done: dict[str, int] = {}
    killed = 0
    while killed < MOMENTS:
        process = subprocess.Popen(
            command(digits_checkpoint, out), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wanted, end = len(done) + draws.randint(*MOVES), time.monotonic() + LONGEST
        while process.poll() is None and len(finished(out)) < wanted and time.monotonic() < end:
            time.sleep(0.2)
        time.sleep(draws.uniform(0.0, 4.0))
        ended = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        check_whole(out)
        now = finished(out)
        # What was done stays as it was.
        assert {name: now.get(name) for name in done} == done
        done = now
        if ended:
            break
        killed += 1
    result = subprocess.run(
        command(digits_checkpoint, out), env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert result.returncode in (0, 6), result.stderr
    now = finished(out)
    assert {name: now.get(name) for name in done} == done
    assert killed >= MOMENTS // 2
    print(f"killed {killed} times; {len(done)} moves of {len(now)} were done by then, and none again")
    assert Report.read(out / "report.json").search is not None
