"""What is mixed, in which shares, and whose gradient it is."""

from dataclasses import replace
from pathlib import Path

import pytest
import small
import torch
from torch.nn import functional

from compressor.context import RunContext, Teacher
from compressor.data import Batch
from compressor.data.batches import UNLABELED
from compressor.data.unlabeled import with_unlabeled
from compressor.distill import Distillation, FeatureTerm, KdSettings, describe, kd_kl, labels_only, recover
from compressor.distill.losses import attention_transfer, decoupled_kd, label_smoothing, logit_mse
from compressor.training import TrainSettings


def test_shares_and_terms(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1).module
    batch = ctx.data.batch("train", torch.arange(32))
    loss = Distillation(ctx, KdSettings(alpha=0.7, temperature=3.0), student)(student, batch, 0.0)
    with torch.no_grad():
        outputs = student(*batch.inputs)
        labels = functional.cross_entropy(outputs, batch.labels)
        response = kd_kl(outputs, ctx.reference.module.eval()(*batch.inputs), 3.0)
    torch.testing.assert_close(loss.total.detach(), 0.3 * labels + 0.7 * response)
    torch.testing.assert_close(loss.terms["labels"].detach(), labels)
    loss.total.backward()
    assert all(p.grad is None for p in ctx.reference.module.parameters())
    assert all(p.grad is not None for p in student.parameters())


def test_the_teachers_share_falls_to_nothing(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1).module
    batch = ctx.data.batch("train", torch.arange(16))
    objective = Distillation(ctx, KdSettings(alpha=0.8, schedule="decay"), student)
    for progress, alpha in ((0.0, 0.8), (0.25, 0.6), (1.0, 0.0)):
        assert objective(student, batch, progress).weights == pytest.approx({"labels": 1 - alpha, "kd": alpha})


def test_inputs_without_labels_keep_their_teacher(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ctx = replace(ctx, data=with_unlabeled(ctx.data, ctx.data.validation, "elsewhere"))
    student = small.small_model(seed=1).module
    batch = ctx.data.batch("train", torch.arange(16))
    objective = Distillation(ctx, KdSettings(alpha=0.8, schedule="decay"), student)
    assert objective(student, batch, 1.0).weights["kd"] == 0.8


def test_teachers_are_averaged_by_weight(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    one, two = small.small_model(seed=1), small.small_model(seed=2)
    ctx = replace(ctx, teachers=(Teacher(one, 3.0), Teacher(two, 1.0)))
    student = small.small_model(seed=3).module
    batch = ctx.data.batch("train", torch.arange(16))
    found = Distillation(ctx, KdSettings(alpha=1.0, temperature=2.0), student)(student, batch, 0.0).total
    with torch.no_grad():
        mean = 0.75 * one.module.eval()(*batch.inputs) + 0.25 * two.module.eval()(*batch.inputs)
        torch.testing.assert_close(found.detach(), kd_kl(student(*batch.inputs), mean, 2.0))


def test_labels_only_asks_no_teacher(tmp_path: Path) -> None:
    ctx = replace(small.small_context(tmp_path), teachers=())
    batch = ctx.data.batch("train", torch.arange(16))
    student = small.small_model().module
    loss = labels_only(ctx)(student, batch, 0.0)
    assert set(loss.terms) == {"labels"}
    torch.testing.assert_close(loss.total, functional.cross_entropy(student(*batch.inputs), batch.labels))


def test_the_other_responses(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1).module
    batch = ctx.data.batch("train", torch.arange(16))
    with torch.no_grad():
        ours, theirs = student(*batch.inputs), ctx.reference.module.eval()(*batch.inputs)
    for name, wanted in (
        ("logit_mse", logit_mse(ours, theirs)),
        ("decoupled_kd", decoupled_kd(ours, theirs, batch.labels)),
    ):
        loss = Distillation(ctx, KdSettings(response=name), student)(student, batch, 0.0)
        torch.testing.assert_close(loss.terms["kd"].detach(), wanted)


def test_label_smoothing_needs_no_teacher(tmp_path: Path) -> None:
    ctx = replace(small.small_context(tmp_path), teachers=())
    student = small.small_model(seed=1).module
    batch = ctx.data.batch("train", torch.arange(16))
    loss = labels_only(ctx, KdSettings(label_smoothing=0.2))(student, batch, 0.0)
    torch.testing.assert_close(loss.total, label_smoothing(student(*batch.inputs), batch.labels, 0.2))


def test_feature_terms_are_added_with_their_weight_at_that_time(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1, width=8).module
    batch = ctx.data.batch("train", torch.arange(16))
    layers = (("stages.1", "stages.1"),)
    term = FeatureTerm(loss="attention_transfer", weight=10, schedule="decay", layers=layers)
    objective = Distillation(ctx, KdSettings(terms=(term,)), student)
    plain = Distillation(ctx, KdSettings(), student)(student, batch, 0.0)
    loss = objective(student, batch, 0.25)
    with torch.no_grad():
        maps = [m.stages(torch.relu(m.bn1(m.conv1(*batch.inputs)))) for m in (student, ctx.reference.module.eval())]
    torch.testing.assert_close(loss.terms["attention_transfer"].detach(), attention_transfer(*maps))
    torch.testing.assert_close(loss.total, plain.total + 7.5 * loss.terms["attention_transfer"])
    objective.close()
    assert not any(m._forward_hooks for m in student.modules())


def test_the_plan_shows_the_pairs(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1, width=8).module
    kd = KdSettings(terms=(FeatureTerm(loss="attention_transfer", weight=50),))
    assert describe(student, ctx, kd) == [
        "kd: 50 x attention_transfer: stages.0 (8x8x8) <- stages.0 (16x8x8); stages (16x4x4) <- stages (32x4x4)"
    ]
    assert describe(student, replace(ctx, teachers=()), kd) == []


def mixed(tmp_path: Path) -> tuple[RunContext, Batch]:
    """A context with samples that have no label, and a batch of four with and four without."""
    ctx = small.small_context(tmp_path)
    data = with_unlabeled(ctx.data, ctx.data.test, "more")
    first = len(ctx.data.train)
    return replace(ctx, data=data), data.batch("train", torch.arange(first - 4, first + 4))


def test_labels_count_where_there_are_any(tmp_path: Path) -> None:
    ctx, batch = mixed(tmp_path)
    student = small.small_model(seed=1).module.eval()
    loss = Distillation(ctx, KdSettings(), student)(student, batch, 0.0)
    with torch.no_grad():
        ours, theirs = student(*batch.inputs), ctx.reference.module(*batch.inputs)
    torch.testing.assert_close(loss.terms["labels"].detach(), functional.cross_entropy(ours[:4], batch.labels[:4]))
    torch.testing.assert_close(loss.terms["kd"].detach(), kd_kl(ours, theirs))
    bare = replace(batch, labels=torch.full((8,), UNLABELED))
    alone = Distillation(ctx, KdSettings(response="decoupled_kd"), student)(student, bare, 0.0)
    assert set(alone.terms) == {"kd"} and bool(torch.isfinite(alone.total))


def test_unsure_answers_do_not_count_without_a_label(tmp_path: Path) -> None:
    ctx, batch = mixed(tmp_path)
    student = small.small_model(seed=1).module.eval()
    with torch.no_grad():
        ours, theirs = student(*batch.inputs), ctx.reference.module(*batch.inputs)
    tops = theirs.softmax(-1).amax(-1)
    bar = float(tops[4:].median())
    counted = (tops >= bar) | (torch.arange(8) < 4)
    assert 0 < counted.sum() < 8
    loss = Distillation(ctx, KdSettings(min_confidence=bar), student)(student, batch, 0.0)
    wanted = kd_kl(ours[counted], theirs[counted]) * counted.sum() / 8
    torch.testing.assert_close(loss.terms["kd"].detach(), wanted)
    nobody = replace(batch, labels=torch.full((8,), UNLABELED))
    none = Distillation(ctx, KdSettings(min_confidence=0.999), student)(student, nobody, 0.0)
    none.total.backward()
    assert float(none.total.detach()) == 0 and not none.terms


def test_the_control_has_the_same_steps_on_labels_alone(tmp_path: Path) -> None:
    ctx, _ = mixed(tmp_path)
    train = TrainSettings(epochs=1, batch_size=64, precision="fp32")
    steps = [
        recover(small.small_model(seed=1).module, replace(ctx, teachers=teachers), train, KdSettings(), name=name).steps
        for name, teachers in (("with", ctx.teachers), ("without", ()))
    ]
    assert steps[0] == steps[1] == len(ctx.data.train) // 64
