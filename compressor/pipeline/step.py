"""One stage on one form in its folder: done or taken from where it was done before, saved, measured, declared done."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from compressor.context import Progress, RunContext, ShowProgress, Teacher
from compressor.data import fitted
from compressor.digests import file_digest, module_digest
from compressor.loading import load_form, save_form
from compressor.models import EngineModel, Form, OnnxModel, TorchModel
from compressor.pipeline.cache import DONE, KEY, PASSING, Done, StageFolder
from compressor.pipeline.job import Job
from compressor.pipeline.layers import layers_of
from compressor.report import Parity, StageRecord
from compressor.stage import Stage, StageResult

# Of a stage's folder: what was measured there, on another split than where it is taken to.
MEASURED = ("snapshot.json", "outputs.npy")
# What a stage's form was measured as, in its folder: the record so far, and the file.
Measure = Callable[[Form, RunContext], tuple[StageRecord, Path | None]]


@dataclass
class Current:
    """The form that the next stage is handed: in memory, or in a folder until someone needs it."""

    form: Form | None
    folder: Path | None
    builder: Callable[[], torch.nn.Module] | None

    def load(self) -> Form:
        """The form; read from its folder the first time."""
        if self.form is None:
            assert self.folder is not None
            # The run was given its factories by hand, so its own folders may name them.
            self.form = load_form(self.folder, factory=self.builder, trust=True)
        return self.form


def do_step(
    stage: Stage,
    name: str,
    current: Current,
    place: StageFolder,
    job: Job,
    teachers: tuple[Teacher, ...],
    progress: ShowProgress,
    measure: Measure,
    before: Callable[[Path], None] | None = None,
) -> Done:
    """Run one stage, save its form, measure it, and only then declare it done.

    Args:
        stage: Its settings.
        name: For reports.
        current: What it is handed.
        place: Its folder.
        job: Prepared.
        teachers: Empty for the control arm.
        progress: Where reports go.
        measure: Gives the record of a form.
        before: Called with the folder once it is empty, before the stage.
    """
    progress(Progress(name))
    form = None if (made := _made_before(job, stage, place.key)) else current.load()
    place.begin(job.fresh)
    if before is not None:
        before(place.path)
    if made is None:
        assert form is not None
        ctx = job.context(place.path, teachers, _named(progress, name), form.info)
        torch.manual_seed(job.seed)
        start = time.perf_counter()
        result = stage.run(form, ctx)
        seconds = time.perf_counter() - start
        data = fitted(job.data, result.model.info)
        save_form(result.model, place.path, job.task.example_inputs(data, 16))
        layers = layers_of(result.model, form, result.kept)
    else:
        result, seconds = _taken_over(made, place.path, job), made[1].record.seconds
        layers = made[1].record.layers
        ctx = job.context(place.path, teachers, _named(progress, name), result.model.info)
    taken, artifact = measure(result.model, ctx)
    parity = Parity.model_validate(result.metrics["parity"]) if "parity" in result.metrics else None
    record = taken.model_copy(
        update={
            "kind": stage.kind,
            "seconds": round(seconds, 3),
            "settings": {"kind": stage.kind, **stage.model_dump(mode="json")},
            "decisions": ctx.decisions.read(),
            "metrics": {**result.metrics, **taken.metrics},
            "notes": [*result.notes, *ctx.decisions.reasons()],
            "parity": taken.parity or parity,
            "layers": layers,
            "artifact": artifact and artifact.relative_to(place.path.parent).as_posix(),
        }
    )
    return place.finish(record, _content(result.model, place.path))


def searched_folder(out: Path, stage: Stage, key: str) -> Path:
    """Where a search keeps what a stage makes: by what it depends on, since no place in a chain is its own."""
    return out / "search" / f"{stage.kind}-{key[:12]}"


def _made_before(job: Job, stage: Stage, key: str) -> tuple[Path, Done] | None:
    """What the run's search made of the same stage from the same input, and its folder."""
    folder = searched_folder(job.out, stage, key)
    done = StageFolder(folder, key).result()
    return None if done is None else (folder, done)


def _taken_over(made: tuple[Path, Done], folder: Path, job: Job) -> StageResult:
    source, done = made
    for path in source.rglob("*"):
        if path.is_file() and path.name not in (DONE, KEY, *MEASURED) and path.suffix not in PASSING:
            copied = folder / path.relative_to(source)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copied)
    form = load_form(folder, factory=job.model.builder, trust=True)
    reasons = set(job.context(folder, ()).decisions.reasons())
    return StageResult(form, done.record.metrics, [note for note in done.record.notes if note not in reasons])


def _content(form: Form, folder: Path) -> str:
    if isinstance(form, (OnnxModel, EngineModel)):
        return file_digest(form.path)
    return file_digest(folder / "model.safetensors")


def facts_of(job: Job, teachers: tuple[Teacher, ...]) -> dict[str, Any]:
    """Whatever besides settings and parent changes a stage's result."""
    student = module_digest(job.student.module) if isinstance(job.student, TorchModel) else None
    return {
        "data": job.data.fingerprint,
        "target": job.profile.target.model_dump(mode="json"),
        "reference": module_digest(job.model.module),
        "info": job.model.info.model_dump(mode="json"),
        "teachers": [
            [_form_digest(one.model), one.weight, one.model.info.tokenizer and one.model.info.tokenizer.digest]
            for one in teachers
        ],
        "student": student,
        "task": [job.task.name, job.task.score_name, job.task.loss_name],
        "seed": job.seed,
        "prefer": [job.prefer, job.profile.budget.size, job.profile.budget.size_mb],
        "device": job.device,
        "threads": torch.get_num_threads(),
        "control": bool(job.control),
        "quick": job.quick,
    }


def _form_digest(form: Form) -> str:
    if isinstance(form, (OnnxModel, EngineModel)):
        return file_digest(form.path)
    return module_digest(form.module)


def _named(progress: ShowProgress, name: str) -> ShowProgress:
    def report(event: Progress) -> None:
        what = name if event.what in name else f"{name} {event.what}"
        progress(replace(event, what=what))

    return report
