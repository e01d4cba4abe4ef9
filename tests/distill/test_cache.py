"""Answers are asked for once per view, survive a torn write, and go when a key changes."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from torch import nn

from compressor.context import RunContext, Teacher
from compressor.data import Augment, Batch
from compressor.data.unlabeled import Bare
from compressor.distill import KdSettings, recover
from compressor.distill.cache import PREFIX, TeacherCache, cached, worth_caching
from compressor.distill.teachers import Answers, mean_of_teachers
from compressor.training import TrainSettings

TRAIN = TrainSettings(epochs=4, batch_size=64, precision="fp32", crop=1)
KD = KdSettings(cache="on", views=2)


def batches(ctx: RunContext, epoch: int) -> list[Batch]:
    return list(ctx.data.training_batches(64, ctx.seed, epoch, Augment(1), views=2))


def test_the_same_view_is_shown_again_in_another_order(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    first, third, second = (batches(ctx, epoch) for epoch in (0, 2, 1))
    assert [batch.view for batch in (first[0], second[0], third[0])] == [0, 1, 0]

    def by_sample(epoch: list[Batch]) -> torch.Tensor:
        order = torch.cat([batch.indices for batch in epoch]).argsort()
        return torch.cat([batch.inputs[0] for batch in epoch])[order]

    assert not torch.equal(first[0].indices, third[0].indices)
    assert torch.equal(by_sample(first), by_sample(third))
    assert not torch.equal(by_sample(first), by_sample(second))


def test_each_view_is_asked_for_once_and_answered_to_the_bit(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ask = mean_of_teachers(ctx)
    cache = cached(ask, ctx, KD, TRAIN)
    for epoch in range(4):
        for batch in batches(ctx, epoch):
            torch.testing.assert_close(cache(batch).logits, ask(batch).logits, rtol=1e-5, atol=1e-5)
    # An epoch of 4 batches of 64 shows all 256 samples.
    assert (cache.asked, cache.answered) == (2 * 256, 2 * 256)
    again = cached(ask, ctx, KD, TRAIN)
    assert torch.equal(again(batches(ctx, 0)[0]).logits, cache(batches(ctx, 0)[0]).logits)
    assert (again.asked, again.answered) == (0, 64)


def test_only_the_samples_that_are_missing_are_asked_for(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ask = mean_of_teachers(ctx)
    asked: list[int] = []

    def counting(batch: Batch) -> Answers:
        asked.append(len(batch.inputs[0]))
        return ask(batch)

    cache = cached(counting, ctx, KD, TRAIN)
    # One sample, for the shape of an answer.
    assert asked == [1]
    asked.clear()
    for epoch in (0, 2):
        for batch in ctx.data.training_batches(100, ctx.seed, epoch, Augment(1), views=2):
            torch.testing.assert_close(cache(batch).logits, ask(batch).logits, rtol=1e-5, atol=1e-5)
    assert asked[:2] == [100, 100]
    assert 0 < sum(asked[2:]) <= 56, "the first epoch left out 56 of 256 samples"


def test_another_key_drops_the_file(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ask = mean_of_teachers(ctx)
    changes: list[Callable[[], tuple[RunContext, KdSettings, TrainSettings]]] = [
        lambda: (ctx, KD, TRAIN),
        lambda: (replace(ctx, teachers=(Teacher(small.small_model(seed=5)),)), KD, TRAIN),
        lambda: (replace(ctx, data=replace(ctx.data, fingerprint="other")), KD, TRAIN),
        lambda: (ctx, KD, TRAIN.model_copy(update={"crop": 2})),
        lambda: (ctx, KD.model_copy(update={"views": 3}), TRAIN),
    ]
    seen = set()
    for change in changes:
        other, kd, train = change()
        cached(ask, other, kd, train)
        (path,) = tmp_path.glob(f"{PREFIX}*")
        seen.add(path.name)
    assert len(seen) == len(changes)


def test_a_torn_row_and_a_foreign_file_are_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / f"{PREFIX}x.npy"
    logits = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    batch = Batch((logits,), torch.zeros(2), torch.tensor([3, 1]))
    TeacherCache(lambda asked: Answers(asked.inputs[0]), path, (1, 4, 2))(batch)
    kept = np.load(path, mmap_mode="r+")
    kept[0, 3, 1] = np.nan
    kept.flush()
    cache = TeacherCache(lambda asked: Answers(asked.inputs[0]), path, (1, 4, 2))
    assert torch.equal(cache(batch).logits, logits) and (cache.asked, cache.answered) == (1, 1)
    path.write_bytes(path.read_bytes()[:100])
    cache = TeacherCache(lambda asked: Answers(asked.inputs[0]), path, (1, 4, 2))
    assert torch.equal(cache(batch).logits, logits) and cache.asked == 2


def write_forever(path: Path) -> None:
    """In another process: one row after the other, slowly enough to be killed among them."""
    cache = TeacherCache(lambda batch: Answers(batch.inputs[0]), path, (1, 4000, 500))
    for index in range(4000):
        cache(Batch((torch.full((1, 500), float(index)),), torch.zeros(1), torch.tensor([index])))


def test_killed_while_writing(tmp_path: Path) -> None:
    path = tmp_path / f"{PREFIX}x.npy"
    process = multiprocessing.get_context("spawn").Process(target=write_forever, args=(path,))
    process.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and not np.isnan(np.load(path, mmap_mode="r")[0, 20]).any():
            break
        time.sleep(0.001)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    cache = TeacherCache(lambda batch: Answers(batch.inputs[0]), path, (1, 4000, 500))
    for index in range(4000):
        wanted = torch.full((1, 500), float(index))
        batch = Batch((wanted,), torch.zeros(1), torch.tensor([index]))
        assert torch.equal(cache(batch).logits, wanted)
    assert cache.answered >= 20 and cache.asked > 0


def test_recovery_uses_it_where_told(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    student = small.small_model(seed=1, width=8).module
    recover(student, ctx, TRAIN, KD)
    assert list(tmp_path.glob(f"{PREFIX}*"))
    assert ctx.decisions.read()["recover.kd.cache"]["value"] is True


@pytest.mark.parametrize(("teacher", "student", "pays"), [(2.0, 1.0, True), (1.0, 2.0, False)])
def test_auto_is_on_where_the_teacher_costs_more_than_the_student(
    tmp_path: Path, teacher: float, student: float, pays: bool
) -> None:
    ctx = small.small_context(tmp_path)
    module = small.small_model(seed=1, width=8).module
    auto = KD.model_copy(update={"cache": "auto"})
    now = 0.0

    def asked(batch: Batch) -> Answers:
        nonlocal now
        now += teacher * len(batch.labels) / 1000
        return Answers(torch.zeros(1))

    def trained(network: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal now
        now += student * len(output) / 1000

    module.register_forward_hook(trained)
    long = TRAIN.model_copy(update={"epochs": 500})
    module_now = worth_caching(module, asked, ctx, auto, long, clock=lambda: now)
    assert module_now[0] is pays and "ms" in module_now[1]
    off, why = worth_caching(module, asked, ctx, auto, TRAIN, clock=lambda: now)
    assert not off and "more than 5% of the training" in why
    unlabeled = replace(ctx, data=replace(ctx.data, train=Bare(ctx.data.train)))
    assert worth_caching(module, asked, unlabeled, auto, long, clock=lambda: now)[0] is pays


def test_features_are_not_cached(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    settings = {"views": 2, "terms": [{"loss": "attention_transfer"}]}
    kd = KdSettings.model_validate({**settings, "cache": "auto"})

    def slow(batch: Batch) -> Answers:
        raise AssertionError("there is nothing to time")

    assert not worth_caching(small.small_model().module, slow, ctx, kd, TRAIN)[0]
    with pytest.raises(ValueError, match="not the features"):
        KdSettings.model_validate({**settings, "cache": "on"})
