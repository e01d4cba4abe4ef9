import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from compressor.context import RunContext
from compressor.measure import Snapshot, count_macs, count_params, paired_drop, score_outputs, snapshot
from compressor.models import EngineModel, OnnxModel, TorchModel
from compressor.target import Target


@pytest.fixture(scope="module")
def weaker(trained: TorchModel) -> TorchModel:
    """The trained network with noise on its weights."""
    module = copy.deepcopy(trained.module)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        module[-1].weight.add_(0.15 * torch.randn(module[-1].weight.shape, generator=generator))
    return TorchModel(module, trained.info)


def test_a_stage_against_the_reference(
    trained: TorchModel, weaker: TorchModel, context: Callable[..., RunContext], tmp_path: Path
) -> None:
    ctx = context()
    reference = snapshot("00-reference", trained, ctx, tmp_path / "00", None)
    stage = snapshot("01-noise", weaker, ctx, tmp_path / "01", reference)
    record = stage.record
    assert (record.params, record.macs) == (
        count_params(trained.module),
        count_macs(trained.module, (torch.zeros(1, 1, 8, 8),)),
    )
    assert record.size_bytes == (tmp_path / "01" / "model.onnx").stat().st_size
    assert reference.record.score_drop is None
    drop, stderr = paired_drop(score_outputs(reference.outputs, ctx), score_outputs(stage.outputs, ctx), True)
    assert (record.score_drop, record.score_drop_stderr) == (drop, stderr)
    assert drop > 0 and stderr > 0
    assert record.score == pytest.approx(reference.record.score - drop)
    assert "onnxruntime" in record.score_runtime and "stands in" not in record.score_runtime
    assert set(record.per_class) == set(ctx.data.classes)
    assert record.parity is not None and record.parity.agreement == 1.0 and record.parity.samples == 360
    latency = record.latency_ms
    assert latency is not None and latency.p50 is not None and latency.p90 is not None and latency.p99 is not None
    assert 0 < latency.p50 <= latency.p90 <= latency.p99
    assert latency.reference_p50 and latency.batch == 1


def test_without_the_runtime_the_latency_is_null_and_the_stand_in_is_named(
    trained: TorchModel, context: Callable[..., RunContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compressor.runners.choose.find_spec", lambda name: None)
    record = snapshot("00-reference", trained, context(Target(runtime="tensorrt")), tmp_path, None).record
    assert record.score is not None and record.score > 0.9
    assert record.score_runtime.endswith("(stands in for tensorrt)")
    assert record.latency_ms is not None and record.latency_ms.p50 is None
    assert "build_engine.py" in record.latency_ms.reason


def test_latency_is_taken_at_the_targets_batch_size(
    trained_onnx: OnnxModel, context: Callable[..., RunContext], tmp_path: Path
) -> None:
    record = snapshot(
        "04-export", trained_onnx, context(Target(runtime="onnxruntime", batch_size=5)), tmp_path, None
    ).record
    assert record.latency_ms is not None and record.latency_ms.batch == 5
    assert record.parity is None


def test_saved_and_read_back(trained: TorchModel, context: Callable[..., RunContext], tmp_path: Path) -> None:
    made = snapshot("00-reference", trained, context(), tmp_path / "00", None)
    made.save(tmp_path / "00")
    (tmp_path / "00").rename(tmp_path / "moved")
    read = Snapshot.load(tmp_path / "moved")
    assert read.record == made.record
    assert np.array_equal(read.outputs, made.outputs)
    assert read.artifact == OnnxModel(tmp_path / "moved" / "model.onnx", trained.info, "fp32")


def test_an_engine_is_read_back_as_one(
    trained: TorchModel, trained_onnx: OnnxModel, context: Callable[..., RunContext], tmp_path: Path
) -> None:
    made = snapshot("04-export", trained_onnx, context(), tmp_path, None)
    engine = EngineModel(tmp_path / "model.engine", trained.info, "int8", "Orin")
    Snapshot(made.record, made.outputs, engine).save(tmp_path)
    assert Snapshot.load(tmp_path).artifact == engine
