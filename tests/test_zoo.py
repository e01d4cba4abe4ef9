"""A network of the zoo through everything, and a bench that doesn't do again what is done."""

import json
import subprocess
import sys
from pathlib import Path

import bench_zoo
import pytest
from zoo_networks import QUICK, names


def bench(rows: Path, *typed: str) -> str:
    command = [sys.executable, bench_zoo.__file__, "--rows", str(rows), "--jobs", "1", *typed]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_network_goes_through_everything(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    # A row that is there isn't run again, unless it failed and those are asked for.
    done, failed = ({"name": name, "cpu": "", "commit": "", "verdict": "through"} for name in QUICK)
    rows.write_text(f"{json.dumps(done)}\n{json.dumps({**failed, 'verdict': 'failed', 'stage': 'run'})}\n")
    assert "failed (run)" in bench(rows, "--quick")
    bench(rows, "--quick", "--failed")
    kept, found = (
        json.loads(line) for line in sorted(rows.read_text().splitlines(), key=lambda line: QUICK[1] in line)
    )
    assert kept == done
    assert (found["name"], found["verdict"], found.get("reason", "")) == (QUICK[1], "through", "")
    assert found["macs"] < 0.6 and found["tensorrt"] == "builds"
    assert "2 of 2 through" in bench(rows, "--table")


@pytest.mark.slow
def test_an_image_network_goes_through_and_a_typed_name_is_run_again(tmp_path: Path) -> None:
    name = "torchvision/squeezenet1_1"
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f"{json.dumps({'name': name, 'cpu': '', 'commit': '', 'verdict': 'through'})}\n")
    bench(rows, name)
    (found,) = map(json.loads, rows.read_text().splitlines())
    assert (found["verdict"], found.get("reason", "")) == ("through", "") and "run_seconds" in found
    assert found["macs"] < 0.6 and found["tensorrt"] == "builds"


def test_the_list_has_every_network_once() -> None:
    listed = names()
    assert len(listed) == len(set(listed)) and len([one for one in listed if one.startswith("timm/")]) >= 60
