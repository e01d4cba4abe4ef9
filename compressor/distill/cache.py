"""Teachers' answers kept on disk for a fixed number of views of each sample, so that each is asked for once."""

import hashlib
import math
import time
from pathlib import Path

import torch
from torch import nn

from compressor.context import RunContext
from compressor.copies import copy_of
from compressor.data import Batch
from compressor.digests import file_digest, module_digest
from compressor.distill.kept_arrays import kept_array, unwritten
from compressor.distill.settings import KdSettings
from compressor.distill.teachers import Answers, AskTeacher
from compressor.models import EngineModel, OnnxModel
from compressor.training import TrainSettings
from compressor.training.layout import Layout, choose_layout
from compressor.training.probe import OVERDRAWN, Allowance, Clock, time_steps

PREFIX = "teacher-answers-"
LARGEST_BYTES = 8_000_000_000


class TeacherCache:
    """A memory-mapped array of logits, float32 (views, samples, classes), or of other answers (views, samples, ...).

    An entry counts when none of its numbers is NaN, which they all are at first: rows that a killed
    process was still writing are simply asked for again.

    Args:
        ask: The teachers.
        path: The file; made where it isn't there, atomically. Others of its kind beside it have another
            key and are removed.
        shape: Views, samples, classes, or whatever shape an answer has.

    Attributes:
        asked: For how many samples the teachers were asked.
        answered: How many came from the file.
    """

    def __init__(self, ask: AskTeacher, path: Path, shape: tuple[int, ...]) -> None:
        self._ask = ask
        self._kept = kept_array(path, shape, PREFIX)
        self.asked = self.answered = 0

    def __call__(self, batch: Batch) -> Answers:
        """The answers for a batch's view of its samples; teachers are asked for those that the file hasn't.

        An epoch drops its last, smaller batch: the samples that it left out are spread over the next one's.
        """
        rows = self._kept[batch.view, batch.indices.numpy()]
        missing = torch.from_numpy(unwritten(rows))
        if bool(missing.any()):
            indices = batch.indices[missing]
            answers = self._ask(batch.of(missing.to(batch.labels.device)))
            rows[missing.numpy()] = self._kept[batch.view, indices.numpy()] = answers.logits.float().cpu().numpy()
            self.asked += len(indices)
        self.answered += len(batch.indices) - int(missing.sum())
        return Answers(torch.from_numpy(rows).to(batch.labels.device))


def cached(ask: AskTeacher, ctx: RunContext, kd: KdSettings, train: TrainSettings) -> TeacherCache:
    """The teachers of a run behind a cache in the run's shared folder.

    Its key is the teachers, their weights, the data, the augmentation and the number of views, not the seed.
    """
    digest = hashlib.sha256()
    for teacher in ctx.teachers:
        form = teacher.model
        content = file_digest(form.path) if isinstance(form, (OnnxModel, EngineModel)) else module_digest(form.module)
        # What it is shown, and in which order its answers are kept, is as its file says.
        means = [(spec.mean, spec.std) for spec in form.info.inputs]
        digest.update(f"{content} {teacher.weight} {means} {form.info.classes} ".encode())
    facts = (kd.teacher_weights, kd.views, ctx.data.fingerprint, train.crop, train.flip, train.erase)
    digest.update(repr(facts).encode())
    path = ctx.shared_folder / f"{PREFIX}{digest.hexdigest()[:24]}.npy"
    return TeacherCache(ask, path, _shape(ask, ctx, kd))


def worth_caching(
    student: nn.Module,
    ask: AskTeacher,
    ctx: RunContext,
    kd: KdSettings,
    train: TrainSettings,
    clock: Clock = time.perf_counter,
) -> tuple[bool, str]:
    """Whether a cache saves more than it costs here, and why: by a short timing, off where there is no time for it.

    It does where asking the teachers takes longer than the student's own step, even if this training sees
    each view once: the run's next stages see them again. For texts, which aren't augmented, it does from the
    second epoch on. Features aren't cached, since they are larger than the data.

    Args:
        student: Left untouched.
        ask: The teachers.
        ctx: The run.
        kd: Its ``cache`` and ``views``.
        train: Batch size, steps and layout.
        clock: Seconds.
    """
    if kd.cache != "auto":
        return kd.cache == "on", "so it was set"
    if kd.terms:
        return False, "features aren't kept"
    if 4 * math.prod(_shape(ask, ctx, kd)) > LARGEST_BYTES:
        return False, f"the answers would take more than {LARGEST_BYTES / 1e9:g} GB"
    if not ctx.task.modality.augmented:
        return train.epochs > 1, "every epoch asks the same" if train.epochs > 1 else "nothing is asked twice"
    allowance = Allowance(train.epochs * ctx.data.steps_per_epoch(train.batch_size), clock=clock)
    batch = next(ctx.data.training_batches(train.batch_size, ctx.seed, epoch=0))
    if not allowance.covers(2, len(batch.labels)):
        return False, OVERDRAWN
    layout = Layout(choose_layout(student, ctx, train.channels_last, batch)[0])
    copied = layout.place(copy_of(student), ctx.device).train()

    def step(part: Batch) -> None:
        # Any loss costs about the same, and samples may have no labels.
        ctx.task.forward(copied, part).float().square().mean().backward()

    timing = time_steps({"teacher": ask, "student": step}, batch, layout, ctx, allowance)
    if not timing.compared:
        return False, OVERDRAWN
    teacher, own = timing.seconds["teacher"], timing.seconds["student"]
    said = f"of a batch the teachers' answers take {1000 * teacher:.3g} ms, the student's step {1000 * own:.3g} ms"
    return teacher > own, said


def _shape(ask: AskTeacher, ctx: RunContext, kd: KdSettings) -> tuple[int, ...]:
    """The array's shape; what one answer has is seen by asking for one."""
    answer = ask(ctx.data.batch("train", torch.arange(1)).to(ctx.device))
    return (kd.views, len(ctx.data.train), *answer.logits.shape[1:])
