"""What is mixed, in which shares, and whose gradient it is."""

from dataclasses import replace
from pathlib import Path

import small
import torch
from torch.nn import functional

from compressor.context import Teacher
from compressor.distill import KdSettings, distillation, kd_kl, labels_only


def test_shares_and_terms(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1).module
    batch = ctx.data.batch("train", torch.arange(32))
    loss = distillation(ctx, KdSettings(alpha=0.7, temperature=3.0))(student, batch)
    with torch.no_grad():
        outputs = student(*batch.inputs)
        labels = functional.cross_entropy(outputs, batch.labels)
        response = kd_kl(outputs, ctx.reference.module.eval()(*batch.inputs), 3.0)
    torch.testing.assert_close(loss.total.detach(), 0.3 * labels + 0.7 * response)
    torch.testing.assert_close(loss.terms["labels"].detach(), labels)
    loss.total.backward()
    assert all(p.grad is None for p in ctx.reference.module.parameters())
    assert all(p.grad is not None for p in student.parameters())


def test_teachers_are_averaged_by_weight(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    one, two = small.small_model(seed=1), small.small_model(seed=2)
    ctx = replace(ctx, teachers=(Teacher(one, 3.0), Teacher(two, 1.0)))
    student = small.small_model(seed=3).module
    batch = ctx.data.batch("train", torch.arange(16))
    found = distillation(ctx, KdSettings(alpha=1.0, temperature=2.0))(student, batch).total
    with torch.no_grad():
        mean = 0.75 * one.module.eval()(*batch.inputs) + 0.25 * two.module.eval()(*batch.inputs)
        torch.testing.assert_close(found.detach(), kd_kl(student(*batch.inputs), mean, 2.0))


def test_labels_only_asks_no_teacher(tmp_path: Path) -> None:
    ctx = replace(small.small_context(tmp_path), teachers=())
    batch = ctx.data.batch("train", torch.arange(16))
    student = small.small_model().module
    loss = labels_only(ctx)(student, batch)
    assert set(loss.terms) == {"labels"}
    torch.testing.assert_close(loss.total, functional.cross_entropy(student(*batch.inputs), batch.labels))
