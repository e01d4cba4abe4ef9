"""``compress profiles``."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compressor.cli.main import main
from compressor.profile import load_profile, profile_path, shipped_names


def compress(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["profiles", *arguments])


def test_list_names_all_with_their_runtime() -> None:
    listed = json.loads(compress("list", "--json").stdout)["profiles"]
    assert [row["name"] for row in listed] == shipped_names()
    assert {row["runtime"] for row in listed} == {"onnxruntime", "tensorrt"}
    assert all(row["name"] in compress("list").stdout for row in listed)


def test_show_gives_reasons_and_copy_gives_the_same(tmp_path: Path) -> None:
    shown = compress("show", "mobile-cpu").stdout
    assert "#" in shown
    mine = tmp_path / "mine.toml"
    assert compress("copy", "mobile-cpu", str(mine)).exit_code == 0
    assert mine.read_text() == shown
    again = compress("copy", "mobile-cpu", str(mine))
    assert again.exit_code == 2 and "is there already" in again.stderr
    assert compress("copy", "mobile-cpu", str(mine), "--force").exit_code == 0
    assert compress("copy", "mobile-cpu", str(tmp_path / "mine.txt")).exit_code == 2


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_profiles_have_no_faults_also_as_copies(name: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    compress("copy", name, str(mine))
    assert compress("check", str(mine)).exit_code == 0
    assert load_profile(str(mine)).stages == load_profile(name).stages
    shown = json.loads(compress("check", name, "--json").stdout)
    assert shown["name"] == name and shown["stages"][-1]["kind"] == "export"


def test_check_lists_every_fault(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[target]\nruntime = "onnx"\nbatchsize = 1\n[[stage]]\nkind = "pruen"\n')
    result = compress("check", str(mine))
    assert result.exit_code == 2
    for part in ("has 3 faults", "'onnxruntime'", "did you mean 'batch_size'", "did you mean 'prune'"):
        assert part in result.stderr


def test_check_refuses_stages_that_dont_chain(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    stages = "".join(f'[[stage]]\nkind = "{kind}"\n' for kind in ("quantize", "distill"))
    mine.write_text(f'[target]\nruntime = "onnxruntime"\n{stages}')
    result = compress("check", str(mine))
    assert result.exit_code == 3
    assert "stage 2 (distill) takes a torch module, but stage 1 (quantize) gives a quantized graph" in result.stderr


def test_check_looks_at_the_stages_for_texts_too(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    text = profile_path("mobile-cpu").read_text()
    mine.write_text(f'{text}\n[[stage]]\nkind = "prune"\nonly = ["texts"]\n')
    result = compress("check", str(mine))
    assert result.exit_code == 3
    assert "for texts: stage 6 (prune) takes a torch module" in result.stderr


def test_check_takes_overrides() -> None:
    result = compress("check", "mobile-cpu", "--set", "budget.size_mb=2", "--set", "target.threads=2", "--json")
    shown = json.loads(result.stdout)
    assert shown["budget"]["size_mb"] == 2 and shown["target"]["threads"] == 2
    wrong = compress("check", "mobile-cpu", "--set", "prunne.ratio=1")
    assert wrong.exit_code == 2 and "did you mean 'prune'" in wrong.stderr
