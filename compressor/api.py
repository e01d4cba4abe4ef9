"""The pipeline from Python: the user's own module, data and loss in one call."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from compressor import pipeline
from compressor.context import ShowProgress, Teacher, silent
from compressor.copies import copy_of
from compressor.data import Data
from compressor.models import ModelInfo, TorchModel
from compressor.profile import Profile, load_profile
from compressor.report import Report
from compressor.tasks import make_task, modality_of
from compressor.training.trackers import check_names


def run(
    module: nn.Module,
    data: Data | str | Callable[..., Any],
    profile: Profile | str = "mobile-cpu",
    *,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    task: str = "image-classification",
    score: str | None = None,
    teachers: Sequence[tuple[nn.Module, float]] = (),
    student: nn.Module | str | None = None,
    out: str | Path = "runs/python",
    overrides: Sequence[str] = (),
    seed: int = 0,
    seeds: int = 1,
    device: str = "auto",
    quick: bool = False,
    control: bool | Sequence[str] = False,
    output: str = "",
    track: Sequence[str] = (),
    progress: ShowProgress = silent,
) -> Report:
    """Compress a trained module for a profile's target and measure what came out.

    Args:
        module: The trained network; left untouched. Its architecture is rebuilt from a copy, so no
            factory is needed within this process.
        data: Data, a data spec, or a callable that returns loaders.
        profile: A profile, its name, or its file.
        loss: ``loss(outputs, labels)`` in place of the task's own.
        task: What the network does.
        score: Which of the task's scores leads.
        teachers: Modules with weights that replace ``module`` as teacher.
        student: A network to distil into, or a word or name as in the profile.
        out: The run's folder.
        overrides: Changes to the profile, ``"prune.ratio=0.5"``.
        seed: The first seed.
        seeds: How many to run and average.
        device: ``"auto"`` or a torch device.
        quick: Little data and few epochs.
        control: Everything once more without distillation; or only stages of these kinds.
        output: Which part of what ``module`` gives the logits are, ``"logits"`` or ``"0"``, where it isn't one tensor
            and can't be told.
        track: Experiment trackers that follow the run: ``"tensorboard"``, ``"mlflow"``, ``"wandb"``, ``"trackio"``.
        progress: Called with reports.

    Returns:
        The report that is also in ``out/report.json``.

    Raises:
        CompressError: With what to change; see ``compressor.errors``.
    """
    loaded = data if isinstance(data, Data) else modality_of(task).read(data, {}, seed=seed)
    job = pipeline.Job(
        model=_model(module, task, loaded),
        data=loaded,
        profile=profile if isinstance(profile, Profile) else load_profile(profile, overrides),
        task=make_task(task, score, loss),
        out=Path(out),
        teachers=tuple(Teacher(_model(teacher, task, loaded), weight) for teacher, weight in teachers),
        student=_model(student, task, loaded) if isinstance(student, nn.Module) else student,
        seed=seed,
        seeds=seeds,
        device=device,
        quick=quick,
        control=(("run",) if control else ()) if isinstance(control, bool) else tuple(control),
        command="compressor.run(...)",
        output=output,
        track=check_names(tuple(track)),
    )
    return pipeline.run(job, progress)


def _model(module: nn.Module, task: str, data: Data) -> TorchModel:
    untouched = copy_of(module).cpu().eval()
    info = ModelInfo(
        task=task, inputs=make_task(task).input_specs(data), classes=data.classes, source=type(module).__name__
    )
    return TorchModel(copy_of(untouched), info, lambda: copy_of(untouched))
