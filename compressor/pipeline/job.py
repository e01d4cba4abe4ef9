"""One run as asked for, and made ready: device found, model described, quick runs shortened."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from compressor.context import Progress, RunContext, ShowProgress, Teacher, silent
from compressor.data import Data, fitted
from compressor.data.fitting import outputs_by_class
from compressor.data.labels import listed
from compressor.data.load import shorten
from compressor.distill.students import named_student
from compressor.distill.teachers import settled_teacher
from compressor.errors import InputError, MissingError, PlanError, did_you_mean
from compressor.factories import build, parse_factory
from compressor.loading.huggingface import with_new_head
from compressor.models import ModelInfo, TorchModel
from compressor.pipeline.agreement import check_inputs, check_trained, extra_outputs
from compressor.profile import Profile
from compressor.stage import Stage
from compressor.target import Prefer
from compressor.tasks import Task
from compressor.tasks.probe import settled

# What ``--control`` alone compares.
WHOLE_RUN = "run"
DEVICES = ("auto", "cpu", "cuda")
QUICK_TRAIN, QUICK_OTHER, QUICK_EPOCHS = 1000, 500, 1


@dataclass(frozen=True)
class Job:
    """Everything a run is asked for.

    Args:
        model: The trained network: the reference.
        data: Its data.
        profile: Target, budget and stages.
        task: What a batch means.
        out: The run's folder.
        teachers: Replace the reference as teacher; empty for the reference itself.
        student: Replaces the profile's choice: ``"same"``, ``"auto"``, a factory or a loaded network.
        seed: The first seed.
        seeds: How many seeds to run and average.
        device: ``"auto"`` or a torch device.
        quick: Little data and few epochs; marked in the report.
        control: What is done once more without distillation: ``("run",)`` is everything, else kinds of stages.
        stop_before: Leave out the stage of this kind and all after it.
        without: Leave out the stages of these kinds alone.
        fresh: Redo every stage, whatever is cached.
        command: What to type to run it again.
        output: Which part of what forward gives the answers are, where it isn't one tensor: ``"logits"``, ``"0"``;
            empty for what can be told.
        trials: Of a wider search after that of ``compress run``; 0 for none.
        storage: Where they are kept: the address of a database; empty for a journal in the run's folder.
        track: Trackers that follow the run.
    """

    model: TorchModel
    data: Data
    profile: Profile
    task: Task
    out: Path
    teachers: tuple[Teacher, ...] = ()
    student: TorchModel | str | None = None
    seed: int = 0
    seeds: int = 1
    device: str = "auto"
    quick: bool = False
    control: tuple[str, ...] = ()
    stop_before: str | None = None
    without: tuple[str, ...] = ()
    fresh: bool = False
    command: str = ""
    output: str = ""
    trials: int = 0
    storage: str = ""
    track: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The profile's stages, as this run does them."""
        return self.profile.stages

    def context(
        self,
        workdir: Path,
        teachers: tuple[Teacher, ...],
        progress: ShowProgress = silent,
        info: ModelInfo | None = None,
    ) -> RunContext:
        """What stages are handed, for one folder, one set of teachers and the form that ``info`` is of."""
        student = self.student if isinstance(self.student, TorchModel) else None
        return RunContext(
            task=self.task,
            data=fitted(self.data, info or self.model.info),
            target=self.profile.target,
            budget=self.profile.budget,
            reference=self.model,
            teachers=teachers,
            student=student,
            device=self.device,
            workdir=workdir,
            seed=self.seed,
            prefer=self.prefer,
            control=bool(self.control),
            shared=workdir.parent,
            progress=progress,
        )

    @property
    def file_notes(self) -> list[str]:
        """What was chosen while the model files were read."""
        student = (self.student,) if isinstance(self.student, TorchModel) else ()
        forms = (self.model, *(teacher.model for teacher in self.teachers), *student)
        return [note for form in forms for note in form.info.notes]

    @property
    def prefer(self) -> Prefer:
        """What the export stage chooses its file by; stages before it leave it the choice."""
        said: list[Prefer] = [getattr(stage, "prefer", None) or "speed" for stage in self.profile.stages]
        return "size" if "size" in said else "speed"

    @property
    def all_teachers(self) -> tuple[Teacher, ...]:
        """The teachers given, else the reference."""
        return self.teachers or (Teacher(self.model),)


def prepared(job: Job) -> Job:
    """The job with its device found, its networks probed and described by its data, its stages cut and shortened.

    Raises:
        PlanError: ``stop_before`` or ``without`` names no stage of the profile, no stage is left, or a network can't
            be compressed.
        MissingError: The device isn't here.
        InputError: The student can't be built.
        DataError: A network's file and the data disagree on shape, normalisation or classes.
    """
    for form in (job.model, job.student):
        _check_can_learn(form)
    data = fitted(job.data, job.model.info)
    job = replace(job, device=torch_device(job.device), data=data, model=_described(job.model, data, job.task))
    for info in (job.model.info, *(teacher.model.info for teacher in job.teachers)):
        check_trained(info, job.task)
    notes = check_inputs(job.model.info, data)
    for teacher in job.teachers:
        theirs = fitted(data, teacher.model.info)
        check_inputs(teacher.model.info, theirs, job.model.info)
        outputs_by_class(theirs, data)
    job = replace(job, profile=job.profile.for_inputs(job.task.modality.stages_for(job.model.info)))
    stages = _cut(job.profile.stages, job.stop_before, job.without)
    if isinstance(job.student, str):
        stages, student = _student(job, stages)
        job = replace(job, student=student)
    elif job.student is not None:
        job = replace(job, student=_given_student(job, job.student))
    job = _settled(job)
    if job.profile.budget.minimize == "size":
        # Whoever asks for the smallest file takes int8 for its bytes, too.
        stages = tuple(stage.model_copy(update=_for_size(stage)) for stage in stages)
    if job.quick:
        stages = tuple(_quick(stage) for stage in stages)
        job = replace(job, data=shorten(job.data, QUICK_TRAIN, QUICK_OTHER))
    notes += extra_outputs(job.model, job.data, job.task)
    job = replace(job, data=replace(job.data, notes=(*job.data.notes, *notes)))
    return replace(job, profile=replace(job.profile, stages=stages))


def _check_can_learn(form: TorchModel | str | None) -> None:
    if isinstance(form, TorchModel) and isinstance(form.module, torch.jit.ScriptModule):
        raise PlanError(
            f"{form.info.source} is TorchScript: a finished program, whose layers can be neither pruned nor captured "
            "for quantization; it can teach and be measured",
            f"--teacher {form.info.source} --trust, and as the model a checkpoint of a network to train",
        )


def _settled(job: Job) -> Job:
    """The job with networks that give one tensor of logits; see ``compressor.tasks.probe``."""
    model = settled(job.model, job.task, job.data, asked=job.output)
    teachers = []
    for number, teacher in enumerate(job.teachers, 1):
        who = f"teacher {number}" if len(job.teachers) > 1 else "the teacher"
        data = fitted(job.data, teacher.model.info)
        teachers.append(replace(teacher, model=settled_teacher(teacher.model, job.task, data, who)))
    student = job.student
    if isinstance(student, TorchModel):
        student = settled(student, job.task, fitted(job.data, student.info), who="the student")
    return replace(job, model=model, teachers=tuple(teachers), student=student)


def torch_device(name: str) -> str:
    """The torch device of a ``--device``.

    Raises:
        InputError: There is no such kind of device.
        MissingError: It isn't on this machine.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in DEVICES or (index and not (index.isascii() and index.isdigit())) or (kind == "cpu" and index):
        raise InputError(f"no device '{name}'{did_you_mean(name, DEVICES)}", "--device auto, cpu, cuda or cuda:1")
    if kind == "cuda" and not torch.cuda.is_available():
        raise MissingError(f"--device {name}: no CUDA device here", "--device cpu")
    if kind == "cuda" and (len(index) > 4 or int(index or 0) >= torch.cuda.device_count()):
        raise MissingError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices", "--device cuda")
    return name


def _described(model: TorchModel, data: Data, task: Task) -> TorchModel:
    """Fill in what the model file doesn't say from the data."""
    info = model.info
    changed: dict[str, object] = {"task": task.name}
    if not info.inputs:
        changed["inputs"] = task.input_specs(data)
    if not info.classes:
        changed["classes"] = data.classes
    return replace(model, info=info.model_copy(update=changed))


def _cut(stages: tuple[Stage, ...], stop_before: str | None, without: tuple[str, ...]) -> tuple[Stage, ...]:
    kinds = [stage.kind for stage in stages]
    asked = [("--without", kind) for kind in without]
    if stop_before is not None:
        asked.append(("--stop-before", stop_before))
    for option, kind in asked:
        if kind not in kinds:
            message = f"{option} {kind}: the profile has no such stage{did_you_mean(kind, kinds)}"
            raise PlanError(message, f"one of: {', '.join(kinds)}")
    if stop_before is not None:
        stages = stages[: kinds.index(stop_before)]
    kept = tuple(stage for stage in stages if stage.kind not in without)
    if not kept:
        typed = " ".join(f"{option} {kind}" for option, kind in asked)
        raise PlanError(f"{typed} leaves no stage", f"fewer of: {', '.join(kinds)}")
    return kept


def _student(job: Job, stages: tuple[Stage, ...]) -> tuple[tuple[Stage, ...], TorchModel | None]:
    """A student named on the command line: a profile's word is set in the stage, a factory is built here."""
    assert isinstance(job.student, str)
    if not any("student" in type(stage).model_fields for stage in stages):
        raise InputError(f"--student {job.student}: the profile has no distill stage", "a profile with one")
    if job.student in ("same", "auto"):
        # As an override would, it drops what excludes it.
        update = {"student": job.student}
        changed = (
            s.model_copy(update={**dict.fromkeys(s.one_of), **update}) if "student" in type(s).model_fields else s
            for s in stages
        )
        return tuple(changed), None
    if job.student.startswith(("torchvision:", "timm:")):
        return stages, named_student(job.student, job.model, job.seed).model
    ref = parse_factory(job.student, {})
    with torch.random.fork_rng():
        torch.manual_seed(job.seed)
        module = build(ref)
    return stages, TorchModel(module, job.model.info.model_copy(update={"factory": ref, "output": None}))


def _given_student(job: Job, student: TorchModel) -> TorchModel:
    """A loaded network as a student of this data: one that was only pretrained gets a head for its classes."""
    if student.info.untrained:
        student = with_new_head(student, job.data.classes, job.seed)
    data = fitted(job.data, student.info)
    check_inputs(student.info, data, job.model.info)
    if outputs_by_class(data, job.data) is not None:
        raise InputError(
            f"--student {student.info.source} has its classes in another order than the network it replaces: "
            f"{listed(data.classes)}, and {listed(job.data.classes)}",
            "a student that was trained on the same classes in the same order, or --student with its factory",
        )
    described = _described(student, data, job.task)
    return replace(described, info=described.info.model_copy(update={"classes": job.model.info.classes}))


def _for_size(stage: Stage) -> dict[str, str]:
    return {"prefer": "size"} if "prefer" in type(stage).model_fields else {}


def _quick(stage: Stage) -> Stage:
    train = getattr(stage, "train", None)
    if train is None:
        return stage
    return stage.model_copy(update={"train": train.model_copy(update={"epochs": min(train.epochs, QUICK_EPOCHS)})})


def report_progress(job: Job, progress: ShowProgress, message: str) -> None:
    """Say where the pipeline itself is."""
    progress(Progress(job.profile.name, message=message))
