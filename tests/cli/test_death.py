"""Networks that really crash, and really take too much, through the command as a process of its own."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

NETWORK = """
import ctypes, os
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    def forward(self, images):
        if self.training:
            self.calls += 1
            if self.calls > 15:
                {fault}
        return self.body(images)
"""
ENOUGH = 64 << 30
SHORT = ["--set", "distill.student='same'", "--set", "prune.ratio=0.5"]


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ENOUGH, ENOUGH))


def compress(
    folder: Path, fault: str, *arguments: str, limit: Callable[[], None] | None = None
) -> "subprocess.CompletedProcess[str]":
    (folder / "faulty.py").write_text(NETWORK.format(fault=fault))
    torch.save(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).state_dict(), folder / "w.pt"
    )
    state = torch.load(folder / "w.pt")
    torch.save({f"body.{key}": value for key, value in state.items()}, folder / "w.pt")
    options = ["w.pt", "--factory", "faulty:Net", "--data", "digits", "--out", "out", "--device", "cpu"]
    return subprocess.run(
        [sys.executable, "-m", "compressor", *arguments, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )


def test_a_crash_in_a_stage(tmp_path: Path) -> None:
    done = compress(tmp_path, "ctypes.string_at(0)", "run", "--profile", "mobile-cpu", *SHORT, "--json")
    assert done.returncode == 5, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    error = next(line for line in lines if line.startswith("error: "))
    assert "killed by signal 11 (SIGSEGV" in error
    assert f'{tmp_path / "faulty.py"}", line 14 in forward' in done.stderr
    assert "run again to go on" in lines[-1] and "Traceback" not in done.stderr
    assert "line 14 in forward" in (tmp_path / "out" / "crash.txt").read_text()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["status"] == "failed" and [stage["name"] for stage in report["stages"]] == ["00-reference"]
    assert "SIGSEGV" in report["notes"][0] and "SIGSEGV" in (tmp_path / "out" / "report.html").read_text()


def test_too_much_memory_under_a_limit(tmp_path: Path) -> None:
    done = compress(tmp_path, f"torch.empty({ENOUGH}, dtype=torch.uint8)", "train", limit=limited)
    assert done.returncode == 5, done.stderr
    assert "error: no memory was left" in done.stderr and "of address space" in done.stderr
    assert "train.batch_size" in done.stderr and "Traceback" not in done.stderr
