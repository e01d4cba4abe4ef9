"""A job of two short stages on a small network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small

from compressor.export.stage import Export
from compressor.pipeline import Job
from compressor.profile import Profile
from compressor.prune.stage import Prune
from compressor.target import Goals, Target
from compressor.tasks import make_task
from compressor.training import TrainSettings

ONCE = TrainSettings(epochs=1, batch_size=64, precision="fp32", crop=0)


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    def make(ratio: float = 0.5, budget: Goals | None = None, **changed: Any) -> Job:
        profile = Profile(
            name="test",
            summary="a test",
            target=Target(runtime="onnxruntime"),
            budget=budget or Goals(),
            stages=(Prune(ratio=ratio, train=ONCE), Export()),
        )
        settings: dict[str, Any] = {
            "model": small.small_model(),
            "data": small.small_data(),
            "profile": profile,
            "task": make_task("image-classification"),
            "out": tmp_path / "run",
            **changed,
        }
        return Job(**settings)

    return make
