"""Parts of networks measured alone: against the same done by hand, within their time, and once."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small
import small_texts
import torch
from torch import Tensor, nn

from compressor.context import RunContext
from compressor.copies import copy_of
from compressor.data.batches import TensorSplit
from compressor.measure import count_macs, count_params
from compressor.models import TorchModel
from compressor.pipeline import Job
from compressor.pipeline.job import prepared
from compressor.pipeline.search.sensitivity import (
    Part,
    cut_alone,
    few_of,
    groups_in,
    measure_parts,
    parts_of,
    sensitivity_of,
)
from compressor.profile import Profile
from compressor.prune import prune_channels
from compressor.prune.stage import Prune
from compressor.quantize.stage import Quantize
from compressor.report import Sensitivity
from compressor.target import Goals, Target
from compressor.training import evaluate

MakeJob = Callable[..., Job]


class TwoBranches(nn.Module):
    """Two convolutions side by side, of which the last layer reads one alone."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.unread = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(1, 16, 3, padding=1)
        self.fc = nn.Linear(32, 10)
        with torch.no_grad():
            self.fc.weight[:, 16:] = 0

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 8, 8) to (N, 10)."""
        made = torch.cat([self.read(x).relu().amax((2, 3)), self.unread(x).relu().amax((2, 3))], 1)
        out: Tensor = self.fc(made)
        return out


def two_branches() -> TwoBranches:
    torch.manual_seed(0)
    return TwoBranches().eval()


def answered_by(module: nn.Module, tmp_path: Path, target: Target | None = None) -> RunContext:
    """A context in which the network is right about every sample of validation, so that what changes it costs."""
    ctx = small.small_context(tmp_path, target)
    split = ctx.data.validation
    (batch,) = ctx.data.batches("validation", len(split))
    with torch.no_grad():
        labels = module.eval()(*batch.inputs).argmax(1)
    own = TensorSplit(split.fetch(torch.arange(len(split)))[0], labels)
    return replace(ctx, data=replace(ctx.data, validation=own))


def by_name(found: list[Sensitivity], ratio: float | None) -> dict[str, Sensitivity]:
    return {one.name: one for one in found if one.ratio == ratio}


def test_channels_are_measured_as_by_hand(tmp_path: Path) -> None:
    module = two_branches()
    ctx = answered_by(module, tmp_path)
    found = measure_parts(module, parts_of(module, ctx, Prune(), None), ctx, samples=10**6)
    assert [(one.name, one.ratio) for one in found] == [
        ("read", 0.5), ("unread", 0.5), ("read", 0.25), ("unread", 0.25)
    ]  # fmt: skip
    one = by_name(found, 0.5)["read"]
    cut = copy_of(module)
    inputs = ctx.task.example_inputs(ctx.data, 2)
    report = prune_channels(cut, inputs, 0.5, ignored=["unread"])
    assert report.after == {"read": 8, "unread": 16, "fc": 10}
    right = evaluate(cut, ctx).per_sample
    assert right is not None
    assert one.drop == pytest.approx(1 - right.mean()) and one.drop > 0.1
    assert one.stderr == pytest.approx(right.std(ddof=1) / len(right) ** 0.5)
    assert one.samples == len(ctx.data.validation) == len(right)
    assert one.params == count_params(module) - count_params(cut)
    assert one.macs == count_macs(module, inputs) - count_macs(cut, inputs)
    assert one.predicted == report.lost is not None


def test_what_nobody_reads_costs_nothing(tmp_path: Path) -> None:
    module = two_branches()
    ctx = answered_by(module, tmp_path)
    found = measure_parts(module, parts_of(module, ctx, Prune(), None), ctx)
    unread = by_name(found, 0.5)["unread"]
    assert (unread.drop, unread.stderr) == (0.0, 0.0) and unread.params
    before = module.state_dict()
    assert all(torch.equal(value, two_branches().state_dict()[name]) for name, value in before.items())


def test_rounding_is_measured_a_layer_at_a_time(tmp_path: Path) -> None:
    module = two_branches()
    with torch.no_grad():
        # Its grid is as wide as the one channel that is read by nobody, and as coarse.
        module.unread.weight[0] *= 1e5
    ctx = answered_by(module, tmp_path)
    parts = parts_of(module, ctx, Prune(skip=("read", "unread")), Quantize(weight_bits=8))
    found = measure_parts(module, parts, ctx)
    assert [(one.name, one.kind, one.ratio) for one in found] == [
        (name, "precision", None) for name in ("read", "unread", "fc")
    ]
    assert [one.params for one in found] == [16 * 9, 16 * 9, 32 * 10]
    drops = {one.name: one.drop for one in found}
    # Of the layer that reads both, the input is rounded as one.
    assert drops["read"] < 0.1 and drops["unread"] == 0.0 and drops["fc"] > 0.5
    left_out = parts_of(module, ctx, Prune(), Quantize(skip=("fc",)))
    assert [part.about.name for part in left_out if part.about.kind == "precision"] == ["read", "unread"]


def test_rounding_is_no_part_where_the_target_has_none(tmp_path: Path) -> None:
    module = two_branches()
    ctx = answered_by(module, tmp_path, Target(runtime="onnxruntime", precision="fp32"))
    assert {part.about.kind for part in parts_of(module, ctx, Prune(), Quantize())} == {"channels"}


def test_coupled_layers_are_one_part_and_coarse_comes_first(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    parts = parts_of(small.small_model().module, ctx, Prune(), Quantize())
    kinds = [(part.about.kind, part.about.ratio) for part in parts]
    assert kinds == sorted(kinds, key=[("channels", 0.5), ("precision", None), ("channels", 0.25)].index)
    together = [part.about.layers for part in parts if part.about.ratio == 0.5]
    assert ["conv1", "stages.0.0.conv2"] in together and ["stages.0.0.conv1"] in together


def test_a_skipped_layer_is_no_part(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    module = small.small_model().module
    assert len(groups_in(module, ctx, ("stages.0",))) == len(groups_in(module, ctx)) - 2


def test_a_part_that_rounding_leaves_whole_says_so(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path, Target(runtime="onnxruntime", channel_multiple=16))
    module = small.small_model().module
    (one, *_) = measure_parts(module, parts_of(module, ctx, Prune(), None), ctx)
    assert one.drop is None and "rounding to 16 leaves them all" in one.reason


@pytest.mark.parametrize("importance", ["taylor", "fisher", "lamp", "reconstruction"])
def test_any_ranking_says_which_channels_go(importance: str, tmp_path: Path) -> None:
    module = small.small_model().module
    ctx = small.small_context(tmp_path)
    parts = parts_of(module, ctx, Prune(importance=importance), None)
    made, about = parts[1].make()
    assert made is not None and about.predicted is not None and about.predicted > 0
    assert all(parameter.grad is None for parameter in module.parameters())


def test_time_that_is_up_is_said(tmp_path: Path) -> None:
    module = two_branches()
    ctx = answered_by(module, tmp_path)
    now = 0.0

    def part(name: str) -> Part:
        about = Sensitivity(name=name, kind="channels", ratio=0.5)

        def make() -> tuple[nn.Module | None, Sensitivity]:
            nonlocal now
            now += 10
            return module, about

        return Part(about, make)

    found = measure_parts(module, list(map(part, "abcde")), ctx, seconds=35, clock=lambda: now)
    assert [one.drop for one in found] == [0.0, 0.0, 0.0, None, None]
    assert [one.reason for one in found[2:]] == ["", *2 * ["not measured: 35 s were not enough for all"]]


def test_samples_are_drawn_by_class(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    few = few_of(ctx, 50).data.validation
    assert len(few) == 50
    assert few.labels.bincount(minlength=10).min() >= 4


def test_heads_and_neurons_are_parts_of_their_own(tmp_path: Path) -> None:
    model = small_texts.encoder("bert")
    ctx = small_texts.text_context(tmp_path, model, small_texts.sentence_data(model))
    groups = groups_in(model.module, ctx)
    assert len(groups) == 8 and all(len(group) == 1 for group in groups)
    cut, report = cut_alone(model.module, ctx, groups, 0, 0.5, "magnitude")
    assert list(report.removed.values()) == [2]
    assert count_params(cut) < count_params(model.module)
    parts = parts_of(model.module, ctx, Prune(), Quantize())
    rounded = [part for part in parts if part.about.kind == "precision"]
    (found,) = measure_parts(model.module, rounded[:1], ctx)
    assert found.drop is not None and len(rounded) > 4 * 6


def test_a_run_measures_once(make_job: MakeJob) -> None:
    profile = Profile("test", "a test", Target(runtime="onnxruntime"), Goals(), (Prune(), Quantize()))
    job = prepared(make_job(profile=profile))
    model = job.model
    assert isinstance(model, TorchModel)
    seen: list[Any] = []
    found = sensitivity_of(job, model, progress=seen.append)
    assert len(seen) == len(found) > 0 and {one.kind for one in found} == {"channels", "precision"}
    again = sensitivity_of(job, model, progress=seen.append)
    assert again == found and len(seen) == len(found)
    (path,) = (job.out / "search").glob("sensitivity-*.json")
    values = json.loads(path.read_text())
    values["parts"][0]["drop"] = 0.5
    path.write_text(json.dumps(values))
    assert sensitivity_of(job, model, progress=seen.append) == found and len(seen) == 2 * len(found)
    # Another network, and another seed, have another file.
    sensitivity_of(job, small.small_model(seed=1), progress=seen.append)
    sensitivity_of(replace(job, seed=1), model)
    assert len(list((job.out / "search").iterdir())) == 3
