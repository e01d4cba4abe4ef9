"""The script for the device: what of it can run without one."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from compressor.export.onnx import export_onnx
from compressor.models import InputSpec, ModelInfo, OnnxModel, QuantizedModel
from compressor.quantize import calibrate, capture, insert_quantizers, place
from compressor.target import Target

SCRIPT = Path(str(files("compressor.export") / "kit" / "build_engine.py"))


@pytest.fixture(scope="module")
def kit() -> Any:
    """The script, loaded by its path as a device would: not through the package."""
    spec = importlib.util.spec_from_file_location("kit_build_engine", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def for_sm86() -> Callable[[Any], None]:
    """TensorRT-RTX builds without a GPU when it is told for which one."""
    trt = pytest.importorskip("tensorrt_rtx")

    def configure(config: Any) -> None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)

    return configure


def test_builds_with_tensorrt_rtx(kit: Any, for_sm86: Callable[[Any], None], trained_onnx: OnnxModel) -> None:
    engine = kit.build(pytest.importorskip("tensorrt_rtx"), trained_onnx.path, 2, 8, configure=for_sm86)
    assert len(engine) > 1000


def test_a_graph_that_does_not_parse_is_refused(kit: Any, for_sm86: Callable[[Any], None], tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(kit.KitError, match="parser refuses"):
        kit.build(pytest.importorskip("tensorrt_rtx"), tmp_path / "broken.onnx", 1, 8, configure=for_sm86)


def test_what_tensorrt_says_of_every_convolution_is_printed_once(
    kit: Any, for_sm86: Callable[[Any], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    images = torch.randn(2, 3, 8, 8)
    network = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)), nn.Flatten(), nn.Linear(192, 2))
    graph = capture(network.eval(), (images,))
    spec = place(graph, Target(runtime="tensorrt"))
    calibrate(insert_quantizers(graph, spec), [(images,)])
    inputs = (InputSpec(shape=(3, 8, 8)),)
    file = export_onnx(QuantizedModel(graph, ModelInfo(inputs=inputs), spec, {}), tmp_path / "model.onnx", (images,))
    kit.build(trt, file.path, 1, 2, configure=for_sm86)
    said = capfd.readouterr().err.splitlines()
    scales = [line for line in said if "Converting conv activation scales to fp32" in line]
    assert len(scales) == 2
    assert "3 times" in scales[1]


def test_summary_by_hand(kit: Any) -> None:
    found = kit.summarise(np.arange(1.0, 102.0), "10.3.0", 4, 1234)
    assert (found["p50"], found["p90"], found["p99"]) == (51.0, 91.0, 100.0)
    assert (found["runtime"], found["batch"], found["runs"], found["size_bytes"]) == ("tensorrt 10.3.0", 4, 101, 1234)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_timing_says_so(kit: Any) -> None:
    with pytest.raises(kit.KitError, match="CUDA"):
        kit.Cuda()


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_without_tensorrt_it_says_how_to_get_it(tmp_path: Path) -> None:
    script = tmp_path / "build_engine.py"
    script.write_bytes(SCRIPT.read_bytes())
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 4
    assert "JetPack" in done.stderr and "Traceback" not in done.stderr


def test_arguments_are_explained_without_tensorrt() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True)
    assert "--max-batch" in done.stdout
