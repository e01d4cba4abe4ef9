"""``compress measure``: the numbers of one file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compressor.cli.options import MODEL_OPTIONS, ModelOptions, add_options

if TYPE_CHECKING:
    from compressor.report import StageRecord
    from compressor.tasks import Task


@click.command()
@click.argument("model", metavar="FILE")
@add_options(MODEL_OPTIONS)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="CPU threads.")
@click.option("--batch-size", default=1, show_default=True, type=click.IntRange(min=1), help="Samples per call.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def measure(threads: int, batch_size: int, as_json: bool, **typed: Any) -> None:
    """Measure FILE: a checkpoint, a saved folder or an ONNX file.

    Size, parameters, MACs, latency percentiles and the score on the test split of its data; a torch
    model is exported to ONNX first, and the file is what is measured.
    """
    from compressor.cli.console import print_json

    record, _ = measured(ModelOptions(**typed), threads, batch_size)
    if as_json:
        print_json(record.model_dump(mode="json", exclude={"name", "kind", "seconds", "cached"}))
    else:
        _print(typed["model"], record)


def measured(options: ModelOptions, threads: int, batch_size: int) -> tuple[StageRecord, Task]:
    """Everything about one file, in ONNX Runtime on the CPU, and the task that scored it."""
    from compressor.context import RunContext
    from compressor.measure import snapshot
    from compressor.models import TorchModel
    from compressor.pipeline.job import torch_device
    from compressor.target import Target
    from compressor.tasks import make_task
    from compressor.tasks.probe import settled

    model = options.load_model()
    data = options.load_data(model)
    task = make_task(options.task or model.info.task)
    if isinstance(model, TorchModel):
        model = settled(model, task, data, asked=options.output, learns=False)
    with tempfile.TemporaryDirectory(prefix="compress-measure-") as folder:
        ctx = RunContext(
            task=task,
            data=data,
            target=Target(runtime="onnxruntime", threads=threads, batch_size=batch_size),
            reference=model,  # type: ignore[arg-type]
            device=torch_device(options.device),
            workdir=Path(folder),
            seed=options.seed,
        )
        record = snapshot(Path(options.model).stem, model, ctx, Path(folder), None).record
        return record.model_copy(update={"notes": list(model.info.notes)}), task


def _print(path: str, record: StageRecord) -> None:
    from compressor.cli.console import megabytes, print_table
    from compressor.figures import count, with_error

    latency = record.latency_ms
    rows = [
        ("size", megabytes(record.size_bytes)),
        ("params", count(record.params)),
        ("MACs", count(record.macs)),
        ("score", with_error(record.score, record.score_stderr)),
        *((name, f"{value:.4f}") for name, value in record.scores.items()),
    ]
    if latency is not None and latency.p50 is not None:
        where = f"{latency.runtime}, {latency.threads} threads, batch {latency.batch}"
        rows += [(f"{name} ms", f"{getattr(latency, name):.3g}") for name in ("p50", "p90", "p99")]
        rows.append(("runtime", where))
    elif latency is not None:
        rows.append(("latency", latency.reason))
    print_table(path, ["", ""], rows)
    for note in record.notes:
        click.echo(f"note: {note}")
