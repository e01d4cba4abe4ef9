"""Any network through everything: plan, prune, distil, quantize, export, reload, each in a process of its own.

python tools/bench_zoo.py --all            # resumes: rows that are there aren't run again
python tools/bench_zoo.py timm/repvgg_a0   # some
python tools/bench_zoo.py --all --failed   # those again that didn't go through
python tools/bench_zoo.py --table          # what there is, as Markdown: docs/zoo.md

A row is a line of docs/zoo.jsonl, written as soon as it is done.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

from zoo_networks import QUICK, giants, names

from compressor.pipeline.environment import describe_environment

ROW = Path(__file__).with_name("zoo_row.py")
ROWS = Path(__file__).parents[1] / "docs" / "zoo.jsonl"
# A network of hundreds of millions of parameters, its teacher and its copies take most of a machine's memory.
ALONE = Lock()
WRITING = Lock()


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="torchvision/NAME, timm/NAME, transformers/NAME, signals/NAME")
    parser.add_argument("--all", action="store_true", help="every network of the list")
    parser.add_argument("--quick", action="store_true", help="the two that take least")
    parser.add_argument("--failed", action="store_true", help="rows that aren't 'through' once more")
    parser.add_argument("--table", action="store_true", help="print what there is and run nothing")
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time, one thread each")
    parser.add_argument("--limit", type=float, default=300, help="seconds a row may take")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where they are kept")
    typed = parser.parse_args()
    wanted = names() if typed.all else list(QUICK) if typed.quick else typed.names
    if not typed.table:
        done = {row["name"] for row in _rows(typed.rows) if not typed.failed or row["verdict"] == "through"}
        with ThreadPoolExecutor(typed.jobs) as pool:
            huge = giants()
            due = [name for name in wanted if name not in done or typed.names]
            for found in pool.map(lambda name: _run(name, typed.rows, typed.limit, name in huge), due):
                print(f"{found['name']}: {found['verdict']} {found.get('reason', '')}", flush=True)
    print(table([row for row in _rows(typed.rows) if not wanted or row["name"] in wanted]))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _keep(path: Path, found: dict[str, Any]) -> None:
    """Write the row in the place of an older one of its name."""
    with WRITING:
        rows = {row["name"]: row for row in [*_rows(path), found]}
        new = path.with_suffix(".new")
        new.write_text("".join(f"{json.dumps(rows[name])}\n" for name in sorted(rows)))
        new.replace(path)


def _run(name: str, rows: Path, limit: float, huge: bool) -> dict[str, Any]:
    """A row in a process of its own, killed with all it started when its time is over; one giant at a time."""
    with ALONE if huge else nullcontext():
        found = _run_now(name, limit)
    _keep(rows, found)
    return found


def _run_now(name: str, limit: float) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="zoo-"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, ROW, name, folder],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said = process.communicate(timeout=limit)[1]
        reason = f"killed by signal {-process.returncode}" if process.returncode < 0 else said.strip()[-300:]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reason = f"not done in {limit:g} s"
    written = folder / "row.json"
    found = {"name": name, "verdict": "failed", "stage": "process", "reason": reason}
    if written.exists():
        found = json.loads(written.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    here = describe_environment("cpu")
    return found | {"commit": here["git"], "cpu": here["cpu"]["model"]}


def table(rows: list[dict[str, Any]]) -> str:
    """One line a network, and how many went through of each library."""
    lines = [
        "| network | input | verdict | MACs left | float ms | shipped | ms | MB | TensorRT-RTX | plan s | run s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        verdict = row["verdict"]
        if verdict != "through":
            verdict += f" ({row['stage']}): {row.get('reason', '')}".replace("|", "/")[:160]
        cells = [row["name"], "x".join(map(str, row.get("input", []))), verdict, row.get("macs", "")]
        cells += [_number(row.get("float_ms")), row.get("shipped", "")]
        cells += [_number(row.get("ms", {}).get("export")), row.get("mb", {}).get("export", "")]
        cells += [row.get("tensorrt", "")[:60], row.get("plan_seconds", ""), row.get("run_seconds", "")]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    counts = Counter((row["name"].partition("/")[0], row["verdict"]) for row in rows)
    totals = Counter(row["name"].partition("/")[0] for row in rows)
    said = [f"{library}: {counts[library, 'through']} of {total} through" for library, total in sorted(totals.items())]
    made = Counter(f"{row['cpu']}, commit {row['commit']}" for row in rows)
    where = [f"{count} rows: {place}" for place, count in sorted(made.items())]
    return "\n".join([*lines, "", "; ".join(said), "", "; ".join(where)])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
