"""Recovery never gives back less than it was handed, where it is told so."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import small
import small_texts
import torch

from compressor.distill import FeatureTerm, KdSettings, describe, labels_only, recover
from compressor.distill.taps import Taps
from compressor.errors import PlanError, StageError
from compressor.export.onnx import export_onnx
from compressor.models import QuantizedModel
from compressor.quantize.stage import Quantize
from compressor.training import TrainSettings, evaluate, fit

GENTLE = TrainSettings(epochs=12, batch_size=64, precision="fp32", crop=0)
VIOLENT = GENTLE.model_copy(update={"epochs": 1, "optimizer": "sgd", "lr": 5.0, "clip_norm": 0.0})


def test_a_better_start_is_put_back(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    module = small.small_model().module
    fit(module, ctx, GENTLE, labels_only(ctx))
    start = {key: value.clone() for key, value in module.state_dict().items()}
    before = evaluate(module, ctx).value
    control = replace(ctx, teachers=())
    result = recover(module, control, VIOLENT, KdSettings(), start_score=before)
    assert result.history[0]["score"] < before
    assert (result.best_epoch, result.score) == (-1, before)
    assert all(torch.equal(module.state_dict()[key], value) for key, value in start.items())


def test_without_being_told_the_best_epoch_is_kept(tmp_path: Path) -> None:
    ctx = replace(small.small_context(tmp_path), teachers=())
    module = small.small_model().module
    fit(module, ctx, GENTLE, labels_only(ctx))
    result = recover(module, ctx, VIOLENT, KdSettings())
    assert result.best_epoch == 0
    assert evaluate(module, ctx).value == result.score


FEATURES = KdSettings(terms=(FeatureTerm(loss="hint"), FeatureTerm(loss="rkd_distance", weight=5)))
ONCE = GENTLE.model_copy(update={"epochs": 1})


def test_every_term_is_logged_and_nothing_is_left_on_the_student(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1, width=8).module
    result = recover(student, ctx, ONCE, FEATURES)
    names = {"labels", "kd", "hint", "rkd_distance"}
    assert names | {f"gradient of {name}" for name in names} <= set(result.history[0])
    assert all(result.history[0][f"gradient of {name}"] > 0 for name in names)
    assert not any(child._forward_hooks for child in student.modules())


def test_a_rounded_graph_recovers_with_features_and_exports_without_them(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    result = Quantize(train=ONCE, kd=FEATURES, measure=False).run(small.small_model(seed=1), ctx)
    assert isinstance(result.model, QuantizedModel)
    assert not any("tap" in name for name, _ in result.model.module.named_modules())
    path = export_onnx(result.model, tmp_path / "model.onnx", ctx.task.example_inputs(ctx.data, 2)).path
    assert [output.name for output in onnx.load(path).graph.output] == ["logits"]
    state = torch.load(tmp_path / "qat.ckpt", weights_only=True)
    assert {"hint", "rkd_distance"} <= set(state["history"][0])


def test_a_hook_that_detaches_is_an_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = small.small_context(tmp_path)
    whole = Taps.take
    monkeypatch.setattr(Taps, "take", lambda self: {path: value.detach() for path, value in whole(self).items()})
    # At equal widths no regressor stands in between, whose own gradient would not be the student's.
    kd = KdSettings(terms=(FeatureTerm(loss="attention_transfer"),))
    with pytest.raises(StageError, match="'attention_transfer' gave the network no gradient"):
        recover(small.small_model(seed=1).module, ctx, ONCE, kd)


def test_pieces_of_texts_join_the_training_with_a_teacher_and_cost_as_many_steps_without(tmp_path: Path) -> None:
    model = small_texts.encoder(num_hidden_layers=1)
    ctx = small_texts.text_context(tmp_path, model)
    train = GENTLE.model_copy(update={"epochs": 1, "batch_size": 16})
    kd = KdSettings(phrases=2)
    assert "172 pieces join 86 training texts" in " ".join(describe(model.module, ctx, kd))
    taught, alone = recover(model.module, ctx, train, kd), recover(model.module, replace(ctx, teachers=()), train, kd)
    assert taught.steps == alone.steps == 3 * 86 // 16
    assert recover(model.module, ctx, train, KdSettings()).steps == 86 // 16


def test_pieces_are_of_texts(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    with pytest.raises(PlanError, match="phrases=2 cuts texts, and 'digits' has none"):
        recover(small.small_model().module, ctx, GENTLE, KdSettings(phrases=2))
