"""Two real processes give the gradients of one."""

import os
import subprocess
import sys
from pathlib import Path

from compressor.distill import losses


def test_every_loss_in_two_processes_has_the_gradient_of_one() -> None:
    script = Path(__file__).with_name("processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    count = len(losses.__all__)
    assert f"rank 0: {count} losses" in result.stdout and f"rank 1: {count} losses" in result.stdout
