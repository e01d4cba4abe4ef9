"""Training a network to be the teacher, with the same loop that the stages use."""

import shutil
from pathlib import Path

from compressor.context import RunContext, ShowProgress
from compressor.data import Data
from compressor.distill import labels_only
from compressor.export.huggingface import write_huggingface
from compressor.loading import save_checkpoint
from compressor.models import TorchModel
from compressor.pipeline.job import torch_device
from compressor.target import Target
from compressor.tasks import Task
from compressor.tasks.probe import settled
from compressor.training import TrainSettings, evaluate, fit


def train_teacher(
    model: TorchModel,
    data: Data,
    task: Task,
    settings: TrainSettings,
    path: Path,
    *,
    seed: int,
    device: str,
    display: ShowProgress,
    output: str = "",
) -> str:
    """Train a network on labels and write its checkpoint.

    The training's state lies beside the checkpoint until it is finished, so that an interrupted one
    goes on.

    Args:
        model: The network, with a factory; trained in place where its forward gives one tensor of logits.
        data: What to train on; its spec is written into the checkpoint.
        task: What to minimise and how to score.
        settings: How long and how.
        path: The checkpoint to write; of a text network a folder, where it doesn't end in ``.pt``.
        seed: Seeds data order and augmentation.
        device: ``"auto"`` or a torch device.
        display: Shows progress.
        output: Which part of what its forward gives the logits are, where that can't be told.

    Returns:
        One line for the user: where, and how good on the test split.
    """
    model = settled(model, task, data, asked=output)
    assert model.info.factory is not None
    workdir = path.with_name(f"{path.stem}.training")
    ctx = RunContext(
        task=task,
        data=data,
        target=Target(runtime="onnxruntime"),
        reference=model,
        device=torch_device(device),
        workdir=workdir,
        seed=seed,
        progress=display,
    )
    task.check(model.module, data)
    fit(model.module, ctx, settings, labels_only(ctx))
    score = evaluate(model.module, ctx, "test")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".pt":
        save_checkpoint(
            model.module.cpu(),
            path,
            factory=model.info.factory,
            task=task.name,
            data=data.source,
            data_args=model.info.data_args,
            example_inputs=task.example_inputs(data),
            inputs=model.info.inputs or task.input_specs(data),
            classes=data.classes,
            tokenizer=model.info.tokenizer,
            output=model.info.output,
        )
    else:
        write_huggingface(model.module.cpu(), model.info, path)
    shutil.rmtree(workdir, ignore_errors=True)
    return f"{path}: {task.score_name} {score.value:.4f} ± {score.stderr:.4f} on the test split of {data.source}"
