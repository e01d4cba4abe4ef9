"""A run without its training: what would fail in it fails here, with the stage's name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import small
import torch
from torch import Tensor, nn

from compressor.context import Progress
from compressor.errors import InputError, PlanError, StageError
from compressor.models import ModelInfo, OnnxModel, TorchModel
from compressor.pipeline import Job, run
from compressor.pipeline.job import prepared
from compressor.pipeline.rehearsal import _check_size, named, rehearse
from compressor.stage import Stage, StageResult

MakeJob = Callable[..., Job]


class Net(nn.Module):
    """A small network; subclasses go wrong in one place each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 64, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv2(self.conv1(images).relu()).relu()
        return self.fc(self.inside(maps).flatten(1))

    def inside(self, maps: Tensor) -> Tensor:
        return maps


class NoBackward(Net):
    def inside(self, maps: Tensor) -> Tensor:
        return _Broken.apply(maps) if self.training else maps


class _Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        return maps.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        raise ZeroDivisionError("no backward")


class NoExport(Net):
    def inside(self, maps: Tensor) -> Tensor:
        return maps if bool(maps.sum() > -1e9) else -maps


class Blind(Stage):
    """Doesn't say what it makes."""

    kind = "blind"
    accepts = (TorchModel,)
    produces = OnnxModel

    def run(self, model: TorchModel, ctx: Any) -> StageResult:
        raise NotImplementedError


def model(module: nn.Module) -> TorchModel:
    return TorchModel(module.eval(), ModelInfo(inputs=small.small_model().info.inputs, task="image-classification"))


def test_the_form_flows_from_stage_to_stage(make_job: MakeJob) -> None:
    job = prepared(make_job())
    before = {name: tensor.clone() for name, tensor in job.model.module.state_dict().items()}
    seen: list[Progress] = []
    prune, export = rehearse(job, seen.append)
    assert isinstance(prune.rehearsal.model, TorchModel) and isinstance(export.rehearsal.model, OnnxModel)
    assert prune.rehearsal.model.module.get_submodule("conv1").weight.shape[0] == 8  # type: ignore[union-attr]
    assert prune.rehearsal.layers["conv1"] == "pruned: 16 to 8"
    assert prune.rehearsal.layers["fc"] == "kept: makes the network's outputs"
    assert all(torch.equal(before[name], tensor) for name, tensor in job.model.module.state_dict().items())
    assert [event.what[:9] for event in seen] == ["01-prune ", "02-export"]
    assert not job.out.exists()


@pytest.mark.parametrize(
    ("faulty", "stage"),
    [(NoBackward, "01-prune fails on this network: ZeroDivisionError: no backward"), (NoExport, "02-export: ")],
)
def test_plan_and_run_refuse_alike(make_job: MakeJob, faulty: type[nn.Module], stage: str) -> None:
    job = make_job(model=model(faulty()))
    with pytest.raises(PlanError, match=stage):
        rehearse(prepared(job))
    with pytest.raises(PlanError, match=stage):
        run(job)
    assert not (job.out / "report.json").exists()


def test_a_stage_that_does_not_say_what_it_makes_ends_what_can_be_tried(make_job: MakeJob) -> None:
    job = make_job()
    profile = replace(job.profile, stages=(Blind(),))
    (blind,) = rehearse(prepared(replace(job, profile=profile)))
    assert isinstance(blind.rehearsal.model, TorchModel)


def test_what_fails_is_a_plan_that_cannot_work() -> None:
    with pytest.raises(PlanError, match=r"^02-prune: asked for much") as refused, named("02-prune"):
        raise StageError("prune: asked for much", "less")
    assert refused.value.hint == "less"
    with pytest.raises(InputError, match=r"^the file"), named("02-prune"):
        raise InputError("the file")
    with pytest.raises(PlanError, match="IndexError: list index"), named("02-prune"):
        [][0]


def test_a_network_larger_than_its_file_may_be(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressor.pipeline.rehearsal.LARGEST_FILE", 1000)
    with pytest.raises(PlanError, match="GB in float32, and an ONNX file") as caught:
        rehearse(prepared(make_job()))
    assert "--teacher" in caught.value.hint
    tied = nn.Linear(10, 10, bias=False)
    monkeypatch.setattr("compressor.pipeline.rehearsal.LARGEST_FILE", 401)
    _check_size(TorchModel(nn.Sequential(tied, tied), ModelInfo()))
