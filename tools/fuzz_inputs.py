"""Hostile files for every reader: each must end as one of our errors, in time, and run or write nothing.

    python tools/fuzz_inputs.py --seconds 120
    python tools/fuzz_inputs.py --inputs 500 --seed 7 --kinds huggingface,profile
    python tools/fuzz_inputs.py --only 3187 --kinds run

Input number N of a kind follows from N alone, so that what was found is made again by ``--only N``.
"""

import argparse
import json
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import fuzz_kinds
import numpy as np
from click.testing import CliRunner

from compressor.cli.main import Root

ALLOWED = (0, 2, 3, 4)
LIMIT_SECONDS = 20
CANARY = fuzz_kinds.CANARY


class TooLongError(BaseException):
    """An input took longer than it may; no ``except Exception`` holds it."""


def outcome(read: Callable[[], Any]) -> tuple[int, str]:
    """The exit code and what was printed, through the same boundary as a command's."""

    class OneCommand(Root):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            return click.Command("read", callback=lambda: read() and None)

    result = CliRunner().invoke(OneCommand(name="compress", commands_at={"read": ("", "")}), ["read"])
    return result.exit_code, result.output


def fault_of(kind: str, number: int, bases: dict[str, Path]) -> str:
    """Makes one input and has it read; what is wrong with the answer, empty if nothing is."""
    rng = np.random.default_rng([number, *kind.encode()])
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "in"
        place.mkdir()
        read, made = fuzz_kinds.KINDS[kind](rng, place, bases)
        before = sorted(path.as_posix() for path in Path(name).rglob("*"))
        start = time.monotonic()
        signal.alarm(LIMIT_SECONDS)
        try:
            code, printed = outcome(read)
        except TooLongError:
            return f"took more than {LIMIT_SECONDS} s: {made}"
        finally:
            signal.alarm(0)
        after = sorted(path.as_posix() for path in Path(name).rglob("*"))
    seconds = time.monotonic() - start
    if code not in ALLOWED or "Traceback" in printed:
        return f"exit code {code} after {seconds:.1f} s: {made}\n{printed[-1500:]}"
    if "\x1b" in printed or "\u202e" in printed:
        return f"controls were printed: {made}: {printed!r}"
    if any(CANARY in path for path in after):
        return f"its code was run: {made}"
    return f"wrote {sorted(set(after) - set(before))}: {made}" if set(after) - set(before) else ""


def _too_long(number: int, frame: Any) -> None:
    raise TooLongError


def run(kinds: list[str], seconds: float, inputs: int, first: int) -> dict[str, Any]:
    """Go round the kinds until time or number is up."""
    found: list[str] = []
    counts, spent = Counter[str](), defaultdict[str, float](float)
    end = time.monotonic() + seconds
    previous = signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory() as name:
        bases = fuzz_kinds.make_bases(Path(name))
        for place in range(inputs):
            if time.monotonic() > end:
                break
            kind, number = kinds[place % len(kinds)], first + place // len(kinds)
            start = time.monotonic()
            try:
                fault = fault_of(kind, number, bases)
            except Exception:
                fault = f"the tool itself: {traceback.format_exc()}"
            spent[kind] += time.monotonic() - start
            counts[kind] += 1
            if fault:
                found.append(f"{kind} {number}: {fault}")
    signal.signal(signal.SIGALRM, previous)
    return {"inputs": dict(counts), "seconds": {kind: round(spent[kind], 1) for kind in counts}, "faults": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--inputs", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0, help="the first number")
    parser.add_argument("--only", type=int, help="this number alone, of each kind")
    parser.add_argument("--kinds", default=",".join(fuzz_kinds.KINDS))
    parser.add_argument("--out", type=Path, help="a JSON file with the counts and what was found")
    given = parser.parse_args()
    kinds = given.kinds.split(",")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if given.only is not None:
        found = run(kinds, 10**6, len(kinds), given.only)
    else:
        found = run(kinds, given.seconds, given.inputs, given.seed)
    for fault in found["faults"]:
        print(fault, end="\n\n")
    for kind, count in found["inputs"].items():
        print(f"{kind:12} {count:6} inputs {found['seconds'][kind]:8.1f} s")
    print(f"{sum(found['inputs'].values())} inputs, {len(found['faults'])} faults")
    if given.out:
        given.out.write_text(json.dumps(found, indent=1))
    shutil.rmtree(CANARY, ignore_errors=True)
    raise SystemExit(bool(found["faults"]))


if __name__ == "__main__":
    main()
