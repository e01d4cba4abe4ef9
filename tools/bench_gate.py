"""Whether the gate's verdict on latency can be believed: the same network and one a tenth slower, many times.

    python tools/bench_gate.py             # 50 times each, about five minutes; beside other work, on purpose
    python tools/bench_gate.py --times 5

Each is ``compress gate NEW --baseline OLD`` in a process of its own, with settings as they are by default. The files
are rows of equal convolutions: 20 of them, the same 20 under another name, and 22.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from convolutions import write_convolutions

CHANNELS = SIZE = 16
LAYERS = {"old": 20, "same": 20, "slower": 22}
# What else grows with two more layers isn't asked here.
TOLERATED = ("--tolerate", "size=20%", "--tolerate", "params=20%", "--tolerate", "macs=20%")


def gated(new: Path, old: Path) -> tuple[int, str, float]:
    """The exit code, the line about latency, and seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "compressor", "gate", str(new), "--baseline", str(old), *TOLERATED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if "latency" in line]
    return done.returncode, lines[0] if lines else done.stderr, time.perf_counter() - start


def main() -> None:
    """Gate, and count what the gate got wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        files = {
            name: write_convolutions(Path(folder) / f"{name}.onnx", layers, CHANNELS, SIZE, says=name)
            for name, layers in LAYERS.items()
        }
        for name, wanted in (("same", 0), ("slower", 6)):
            found = []
            for number in range(times):
                found.append(gated(files[name], files["old"]))
                print(f"{name} {number + 1}: exit {found[-1][0]}, {found[-1][2]:.1f} s: {found[-1][1]}", flush=True)
            right = sum(code == wanted for code, _, _ in found)
            still_open = sum("undecided" in line for _, line, _ in found)
            seconds = [one for _, _, one in found]
            print(
                f"{name}: exit code {wanted} in {right} of {times}, {still_open} undecided by the interval; "
                f"{median(seconds):.1f} s a verdict, at most {max(seconds):.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
