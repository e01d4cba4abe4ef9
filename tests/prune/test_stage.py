"""The stage on a real network and real digits: smaller, recovered, and honest about what didn't go."""

from dataclasses import replace
from pathlib import Path

import pytest
import small
import small_texts
import torch
from pydantic import ValidationError
from torch import nn

from compressor.blocks import attentions, feed_forwards
from compressor.context import Teacher
from compressor.copies import copy_of
from compressor.distill import KdSettings
from compressor.distill.objective import labels_only
from compressor.errors import PlanError, StageError
from compressor.loading import load_file
from compressor.models import ModelInfo, TorchModel
from compressor.prune.stage import Prune
from compressor.target import Target
from compressor.training import TrainSettings, fit

ONCE = TrainSettings(epochs=2, batch_size=64, precision="fp32", crop=0)


def test_one_shot_and_iterative(tmp_path: Path) -> None:
    found = {}
    for steps in (1, 2):
        ctx = small.small_context(tmp_path / str(steps))
        result = Prune(ratio=0.5, steps=steps, train=ONCE).run(small.small_model(), ctx)
        found[steps] = result.metrics
        assert result.metrics["macs_after"] < 0.5 * result.metrics["macs_before"]
        assert result.metrics["steps"] == 2 * ctx.data.steps_per_epoch(64)
    assert found[1]["macs_after"] == found[2]["macs_after"]


def test_a_captured_program_is_pruned_though_it_has_no_layers(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    model = small.small_model()
    axes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model.module.eval(), ctx.task.example_inputs(ctx.data, 4), dynamic_shapes=axes)
    torch.export.save(program, tmp_path / "m.pt2")
    read = load_file(tmp_path / "m.pt2", trust=True)
    assert isinstance(read, TorchModel)
    result = Prune(ratio=0.5, train=ONCE).run(replace(model, module=read.module), ctx)
    assert result.metrics["macs_after"] < 0.5 * result.metrics["macs_before"]


def test_a_budget_is_kept_and_its_ratio_recorded(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    result = Prune(budget={"macs": 0.5}, train=ONCE).run(small.small_model(), ctx)
    assert result.metrics["macs_after"] <= 0.5 * result.metrics["macs_before"]
    assert ctx.decisions.read()["ratio"] == {"value": result.metrics["ratio"], "setting": "prune.ratio"}


def test_little_is_a_failure_that_names_the_layers(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ctx = replace(ctx, target=Target(runtime="onnxruntime", channel_multiple=16))
    # Layers of 16 and 32 channels, in multiples of 16: only half of the wider ones can go.
    model = small.small_model()
    names = [name for name, child in model.module.named_modules() if isinstance(child, nn.Conv2d)]
    stage = Prune(ratio=0.9, train=ONCE, skip=tuple(names[3:5]))
    with pytest.raises(StageError, match=r"asked to remove 90% .* blocked: .*conv1"):
        stage.run(model, ctx)


def test_nothing_to_remove_is_refused_by_the_plan(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    linear = TorchModel(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), ModelInfo())
    with pytest.raises(PlanError, match="no layer can lose channels"):
        Prune(ratio=0.5, train=ONCE).rehearse(linear, ctx)


def test_ratio_or_budget() -> None:
    with pytest.raises(ValidationError, match="exclude one another"):
        Prune(ratio=0.5, budget={"macs": 0.5})
    with pytest.raises(ValidationError, match="needs as many epochs"):
        Prune(steps=5, train=ONCE)


class WithHead(nn.Module):
    """Convolutions, and at the end two linear layers under the names that transformers have for theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.mlp(self.conv2(self.conv(x).relu()).relu().mean((2, 3)))
        return outputs


def test_convolutions_before_a_head_of_two_layers_lose_channels(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    torch.manual_seed(0)
    result = Prune(ratio=0.5, train=ONCE).run(TorchModel(WithHead(), ModelInfo()), ctx)
    assert isinstance(result.model, TorchModel)
    module = result.model.module
    assert isinstance(module, WithHead)
    assert (module.conv.out_channels, module.conv2.out_channels) == (16, 16)
    assert (module.mlp[0].in_features, module.mlp[0].out_features) == (16, 32)


def narrow(path: Path, stage: Prune) -> tuple[TorchModel, list[str]]:
    model = small_texts.encoder("bert")
    ctx = small_texts.text_context(path, small_texts.encoder("bert"), small_texts.sentence_data(model))
    assert stage.rehearse(model, ctx).notes[0] == "width: 32 channels to 24"
    result = stage.run(model, ctx)
    assert isinstance(result.model, TorchModel)
    return result.model, result.notes


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "fisher", "hessian", "random"])
def test_a_narrower_encoder_learns_from_the_wider_ones_states(tmp_path: Path, importance: str) -> None:
    term = {"loss": "hidden_states"}
    kd = KdSettings(terms=[term])
    stage = Prune(heads=0, neurons=0, width=0.25, importance=importance, train=ONCE, kd=kd)
    model, notes = narrow(tmp_path, stage)
    assert notes[0] == "width: 32 channels to 24"
    assert all((block.heads, block.size) == (4, 8) for block in attentions(model.module))
    assert all(pair.neurons == 64 for pair in feed_forwards(model.module))
    assert model.info.factory is not None
    assert model.info.factory.arguments["config"]["hidden_size"] == 24
    small_texts.answers(model, small_texts.inputs_of(model))


def test_an_encoder_is_ranked_by_what_another_teaches_it(tmp_path: Path) -> None:
    model = small_texts.encoder("bert")
    ctx = small_texts.text_context(tmp_path, model, small_texts.sentence_data(model))
    stage = Prune(ratio=0.5, importance="kd-taylor", train=ONCE)
    with pytest.raises(PlanError, match="the network answers as its teachers do"):
        stage.rehearse(model, ctx)
    other = copy_of(model.module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    taught = replace(ctx, teachers=(Teacher(replace(model, module=other)),))
    assert any("can lose channels" in note for note in stage.rehearse(model, taught).notes)


@pytest.mark.parametrize("steps", [1, 2])
def test_heads_and_neurons_that_the_others_can_stand_in_for(tmp_path: Path, steps: int) -> None:
    model = small_texts.encoder("mpnet")
    ctx = small_texts.text_context(tmp_path, small_texts.encoder("mpnet"), small_texts.sentence_data(model))
    stage = Prune(heads=0.5, neurons=0.75, importance="reconstruction", steps=steps, train=ONCE)
    stage.rehearse(model, ctx)
    result = stage.run(model, ctx)
    assert isinstance(result.model, TorchModel)
    assert {block.heads for block in attentions(result.model.module)} == {2}
    assert {pair.neurons for pair in feed_forwards(result.model.module)} == {16}


@pytest.mark.parametrize("steps", [1, 2])
def test_channels_that_the_others_can_stand_in_for(tmp_path: Path, steps: int) -> None:
    model, ctx = small.small_model(), small.small_context(tmp_path)
    fit(model.module, ctx, TrainSettings(epochs=12, batch_size=64, precision="fp32", crop=0), labels_only(ctx))
    scores: dict[str, float] = {}
    for importance in ("reconstruction", "magnitude"):
        trained = TorchModel(copy_of(model.module), model.info)
        stage = Prune(ratio=0.5, importance=importance, steps=steps, train=TrainSettings(epochs=steps, lr=1e-6))
        stage.rehearse(trained, ctx)
        result = stage.run(trained, replace(ctx, workdir=tmp_path / importance))
        scores[importance] = result.metrics["validation_pruned"]
        assert any("were fitted" in note for note in result.notes) == (importance == "reconstruction")
    assert scores["reconstruction"] > scores["magnitude"] + 0.05


def test_the_stream_s_width_has_no_reconstruction(tmp_path: Path) -> None:
    model = small_texts.encoder("bert")
    with pytest.raises(PlanError, match=r"prune.width has no ranking 'reconstruction'"):
        Prune(width=0.25, importance="reconstruction", train=ONCE).rehearse(
            model, small_texts.text_context(tmp_path, model)
        )


def test_rounds_share_out_what_is_set_for_heads_and_neurons(tmp_path: Path) -> None:
    model, notes = narrow(tmp_path, Prune(heads=0.5, neurons=0.75, width=0.25, steps=2, train=ONCE))
    assert {block.heads for block in attentions(model.module)} == {2}
    assert {pair.neurons for pair in feed_forwards(model.module)} == {16}
    assert notes.count("width: 32 channels to 24") == 1


def test_a_width_that_rounding_leaves_is_refused_by_the_plan(tmp_path: Path) -> None:
    model = small_texts.encoder("bert")
    ctx = small_texts.text_context(tmp_path, model)
    with pytest.raises(PlanError, match=r"prune.width = 0.05 of 32 channels removes none in multiples of 8"):
        Prune(width=0.05, train=ONCE).rehearse(model, ctx)


def test_convolutions_have_no_width_of_this_kind(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"prune.width is for transformers: .* is none"):
        Prune(width=0.25, train=ONCE).rehearse(small.small_model(), small.small_context(tmp_path))
