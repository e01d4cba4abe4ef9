"""Which student is chosen, and why."""

from pathlib import Path

import pytest
import small
import small_texts
import torch
from torch import nn

from compressor.distill.stage import Distill
from compressor.distill.students import auto_student, fewer_layers, inherit, named_student, same_architecture
from compressor.errors import BudgetError, InputError
from compressor.factories import build, parse_factory
from compressor.measure import count_macs, count_params
from compressor.models import ModelInfo, TorchModel
from compressor.training import TrainSettings


def test_auto_takes_the_most_macs_within_the_budget(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    factory = parse_factory(small.FACTORY, {**small.ARGUMENTS, "width": 32, "layers": [2, 2]})
    reference = TorchModel(build(factory), ctx.reference.info.model_copy(update={"factory": factory}))
    chosen = auto_student(reference, {"macs": 0.3}, ctx)
    inputs = ctx.task.example_inputs(ctx.data, 2)
    assert count_macs(chosen.model.module, inputs) <= 0.3 * count_macs(reference.module, inputs)
    arguments = chosen.model.info.factory.arguments
    assert arguments["width"] < 32 or arguments["layers"] == [1, 1]
    assert "of the reference's MACs" in chosen.reason
    looser = auto_student(reference, {"macs": 0.9}, ctx)
    assert count_params(looser.model.module) > count_params(chosen.model.module)


def test_auto_says_what_can_be_reached(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    with pytest.raises(BudgetError, match="no relative") as caught:
        auto_student(ctx.reference, {"macs": 0.0001}, ctx)
    assert 0 < caught.value.smallest < 1
    assert "distill.budget.macs" in caught.value.hint
    nearest = auto_student(ctx.reference, {"macs": 0.0001}, ctx, nearest=True)
    assert "the smallest (student 'auto': no relative" in nearest.reason
    inputs = ctx.task.example_inputs(ctx.data, 2)
    full = count_macs(ctx.reference.module, inputs)
    assert count_macs(nearest.model.module, inputs) == pytest.approx(caught.value.smallest * full)


def test_auto_without_a_factory_keeps_the_architecture(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    plain = TorchModel(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), ModelInfo())
    chosen = auto_student(plain, {}, ctx)
    assert "names no factory" in chosen.reason
    assert torch.equal(chosen.model.module[1].weight, plain.module[1].weight)
    assert chosen.model.module is not plain.module


def test_torchvision_family_members_are_relatives(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    inputs = (torch.randn(2, 3, 32, 32),)
    factory = parse_factory("torchvision:vgg13_bn", {"num_classes": 10})
    chosen = auto_student(TorchModel(build(factory), ModelInfo(factory=factory)), {}, _with_inputs(ctx, inputs))
    assert chosen.model.info.factory.reference == "torchvision.models:vgg11_bn"


def test_a_profile_names_no_code() -> None:
    with pytest.raises(InputError, match="would import code"):
        named_student("my.module:net", small.small_model(), 0)


def test_named_student_has_the_references_classes() -> None:
    student = named_student("torchvision:mobilenet_v3_small", small.small_model(), 0).model
    assert student.module.classifier[-1].out_features == 10


def test_inherit_copies_what_fits() -> None:
    reference = small.small_model(seed=1).module
    student = build(parse_factory(small.FACTORY, {**small.ARGUMENTS, "layers": [1]}))
    count = inherit(student, reference)
    shared = [k for k, v in student.state_dict().items() if v.dim() > 1 and reference.state_dict()[k].shape == v.shape]
    assert count == len(shared) > 0
    assert torch.equal(student.conv1.weight, reference.conv1.weight)


def test_same_is_a_copy() -> None:
    reference = small.small_model()
    student = same_architecture(reference).model
    with torch.no_grad():
        student.module.conv1.weight.zero_()
    assert bool(reference.module.conv1.weight.any())


def _with_inputs(ctx: object, inputs: tuple[torch.Tensor, ...]) -> object:
    class Task:
        def example_inputs(self, data: object, count: int) -> tuple[torch.Tensor, ...]:
            return inputs

    class Context:
        task, data, seed = Task(), None, 0

    return Context()


def test_auto_takes_the_most_layers_of_a_text_network(tmp_path: Path) -> None:
    model = small_texts.encoder(num_hidden_layers=6)
    ctx = small_texts.text_context(tmp_path, model)
    inputs = ctx.task.example_inputs(ctx.data, 2)
    chosen = fewer_layers(model, {"macs": 0.85}, "spread", ctx)
    assert "layers 0, 1, 2, 4, 5 of the reference" in chosen.reason and chosen.weighted
    assert count_macs(chosen.model.module, inputs) <= 0.85 * count_macs(model.module, inputs)
    assert "layers 0, 2, 5 of" in fewer_layers(model, {"macs": 0.6}, "spread", ctx).reason
    assert "layers 0, 1, 2, 4, 5 of" in fewer_layers(model, {}, "spread", ctx).reason
    with pytest.raises(BudgetError, match="no number of layers has macs <=") as caught:
        fewer_layers(model, {"macs": 0.01}, "spread", ctx)
    one = count_macs(fewer_layers(model, {"macs": 0.2}, "spread", ctx).model.module, inputs)
    assert caught.value.smallest == one / count_macs(model.module, inputs)
    nearest = fewer_layers(model, {"macs": 0.01}, "spread", ctx, nearest=True)
    assert "less than a single layer" in nearest.reason


def test_a_single_layer_stays(tmp_path: Path) -> None:
    model = small_texts.encoder(num_hidden_layers=1)
    chosen = fewer_layers(model, {"macs": 0.5}, "spread", small_texts.text_context(tmp_path, model))
    assert "a single layer" in chosen.reason


def test_layers_of_another_place_keep_their_weights(tmp_path: Path) -> None:
    model = small_texts.encoder(num_hidden_layers=3)
    ctx = small_texts.text_context(tmp_path, model)
    slow = TrainSettings(epochs=1, batch_size=64, lr=1e-12, weight_decay=0.0, precision="fp32")
    stage = Distill(student="auto", train=slow)
    student = stage.run(model, ctx).model
    assert isinstance(student, TorchModel)
    last = "bert.encoder.layer.{}.output.dense.weight"
    theirs = model.module.get_parameter(f"network.{last.format(2)}")
    torch.testing.assert_close(student.module.get_parameter(f"network.{last.format(1)}"), theirs)
