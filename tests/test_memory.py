"""What a process may take, read from the system, and the errors that say there is no more."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from compressor import memory
from compressor.errors import PlanError


def test_peak_grows_with_what_is_taken() -> None:
    code = "from compressor.memory import peak_memory as p; a = p(); b = b'x' * 80_000_000; print(p() - a > 70_000_000)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


def test_the_limit_is_the_smallest_of_machine_and_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "meminfo"
    info.write_text("MemTotal:       16000000 kB\nMemFree: 1 kB\n")
    groups, own = tmp_path / "groups", tmp_path / "own"
    (groups / "a" / "b").mkdir(parents=True)
    own.write_text("0::/a/b\n")
    for name, path in (("MEMORY_INFO", info), ("GROUPS", groups), ("OWN_GROUPS", own)):
        monkeypatch.setattr(memory, name, path)
    assert memory.memory_limit() == 16_384_000_000
    (groups / "a" / "b" / "memory.max").write_text("max\n")
    (groups / "a" / "memory.max").write_text("2000000000\n")
    assert memory.memory_limit() == 2_000_000_000
    assert memory.peak_of(500_000_000) == "peak 0.5 GB of 2.0 GB"


def test_a_limit_of_address_space_is_named() -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))

    code = "from compressor.memory import of_limit; print(of_limit())"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=limit, env=os.environ
    ).stdout
    assert "of the 2.0 GB of address space" in shown


def test_errors_that_say_that_no_memory_is_left() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert memory.is_out_of_memory(refused.value)
    assert memory.is_out_of_memory(MemoryError())
    wrapped = PlanError("can't be traced")
    wrapped.__cause__ = refused.value
    assert memory.is_out_of_memory(wrapped)
    assert not memory.is_out_of_memory(ValueError("shape"))
