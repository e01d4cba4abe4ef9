"""``compress measure``: a checkpoint and an ONNX file."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from compressor.cli.main import main

_path = Path(__file__).parents[1] / "small.py"
_spec = importlib.util.spec_from_file_location("small", _path)
assert _spec is not None and _spec.loader is not None
small: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


def measure(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["measure", *map(str, arguments)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from compressor.loading import save_checkpoint

    path = tmp_path_factory.mktemp("measure") / "model.pt"
    model = small.small_model()
    save_checkpoint(
        model.module,
        path,
        factory=model.info.factory,
        data="digits",
        example_inputs=small.make_task("image-classification").example_inputs(small.small_data()),
        inputs=model.info.inputs,
        classes=model.info.classes,
    )
    return path


def test_a_checkpoint_and_the_onnx_of_it(checkpoint: Path, tmp_path: Path) -> None:
    from compressor.export.onnx import export_onnx

    result = measure(checkpoint, "--json")
    assert result.exit_code == 0, result.output
    torch_numbers = json.loads(result.stdout)
    model = small.small_model()
    assert torch_numbers["params"] == sum(p.numel() for p in model.module.parameters())
    inputs = small.make_task("image-classification").example_inputs(small.small_data())
    export_onnx(model, tmp_path / "model.onnx", inputs)
    onnx_result = measure(tmp_path / "model.onnx", "--data", "digits", "--json")
    assert onnx_result.exit_code == 0, onnx_result.output
    onnx_numbers = json.loads(onnx_result.stdout)
    assert onnx_numbers["size_bytes"] == (tmp_path / "model.onnx").stat().st_size
    assert onnx_numbers["score"] == pytest.approx(torch_numbers["score"], abs=0.01)
    assert 0 < onnx_numbers["latency_ms"]["p50"] <= onnx_numbers["latency_ms"]["p99"]


def test_as_a_table(checkpoint: Path) -> None:
    shown = measure(checkpoint).stdout
    assert all(word in shown for word in ("size", "params", "MACs", "score", "p50 ms", "onnxruntime"))


def test_no_model() -> None:
    assert measure("no-such.onnx").exit_code == 2
