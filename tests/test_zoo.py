"""A few networks of the zoo through everything, and a bench that doesn't do again what is done."""

import json
import subprocess
import sys
from pathlib import Path

import bench_zoo
from zoo_networks import QUICK, names


def bench(rows: Path, *typed: str) -> str:
    command = [sys.executable, bench_zoo.__file__, "--rows", str(rows), "--jobs", "1", *typed]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_few_networks_go_through_everything(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    # A row that is there isn't run again, unless it failed and those are asked for.
    done, failed = ({"name": name, "cpu": "", "commit": "", "verdict": "through"} for name in QUICK)
    rows.write_text(f"{json.dumps(done)}\n{json.dumps({**failed, 'verdict': 'failed', 'stage': 'run'})}\n")
    assert "failed (run)" in bench(rows, "--quick")
    bench(rows, "--quick", "--failed")
    assert {row["name"]: "run_seconds" in row for row in map(json.loads, rows.read_text().splitlines())} == {
        QUICK[0]: False,
        QUICK[1]: True,
    }
    bench(rows, QUICK[0])
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [(row["name"], row["verdict"], row.get("reason", "")) for row in found] == [
        (one, "through", "") for one in QUICK
    ]
    assert all(row["macs"] < 0.6 and row["tensorrt"] == "builds" for row in found)
    assert "2 of 2 through" not in bench(rows, "--table") and "1 of 1 through" in bench(rows, "--table")


def test_the_list_has_every_network_once() -> None:
    listed = names()
    assert len(listed) == len(set(listed)) and len([one for one in listed if one.startswith("timm/")]) >= 60
