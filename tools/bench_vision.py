"""The whole pipeline on Fashion-MNIST: one command, resumable, a line after each seed.

    python tools/bench_vision.py                 # 3 seeds, every arm, docs/benchmarks.md's table on stdout
    python tools/bench_vision.py --smoke         # minutes: little data, to see that it works

The teacher is a ResNet-18 (3x3 stem of stride 2, no max-pool), trained once and cached. Arms, on the same
seeds: the profile with distillation, the same without (``--control``), and the final structure trained from
scratch on labels for as many steps. Everything is measured on the exported file in ONNX Runtime.
"""

import argparse
import json
import statistics
from dataclasses import replace
from math import sqrt
from pathlib import Path

import torch

from compressor import pipeline
from compressor.cli.progress import progress_display
from compressor.cli.teach import train_teacher
from compressor.context import RunContext
from compressor.data import Data
from compressor.data.load import load_data, shorten
from compressor.distill import labels_only
from compressor.factories import build, parse_factory
from compressor.loading import load_file, load_form
from compressor.measure import Snapshot, snapshot
from compressor.models import InputSpec, ModelInfo, TorchModel
from compressor.pipeline import Job
from compressor.profile import load_profile
from compressor.tasks import make_task
from compressor.training import TrainSettings, fit

TASK = "image-classification"
FACTORY = parse_factory(
    "compressor.factories.small_images:resnet",
    {"width": 64, "layers": [2, 2, 2, 2], "num_classes": 10, "in_channels": 1, "stem_stride": 2},
)
INPUT = InputSpec(shape=(1, 28, 28), mean=(0.286,), std=(0.353,))
# The second round starts from the first's weights.
FIRST = TrainSettings(epochs=12, optimizer="sgd", lr=0.1, weight_decay=5e-4)
ROUNDS = (FIRST, FIRST.model_copy(update={"epochs": 10, "lr": 0.05, "erase": 0.5}))


def teacher(folder: Path, data: Data, rounds: tuple[TrainSettings, ...]) -> TorchModel:
    """The cached teacher; what isn't there of its rounds is trained."""
    torch.manual_seed(0)
    model = TorchModel(build(FACTORY), ModelInfo(factory=FACTORY, inputs=(INPUT,)))
    for number, settings in enumerate(rounds, 1):
        path = folder / f"teacher-{number}.pt"
        if not path.exists():
            with progress_display() as display:
                print(
                    train_teacher(model, data, make_task(TASK), settings, path, seed=0, device="auto", display=display),
                    flush=True,
                )
        loaded = load_file(path)
        assert isinstance(loaded, TorchModel)
        model = loaded
    return model


def from_scratch(job: Job) -> Snapshot:
    """The final structure with fresh weights, labels only, for as many epochs as the pipeline spent in all."""
    out = job.out / "scratch"
    if (out / "snapshot.json").exists():
        return Snapshot.load(out)
    pruned = load_form(job.out / "02-prune")
    assert isinstance(pruned, TorchModel)
    torch.manual_seed(job.seed)
    for child in pruned.module.modules():
        reset = getattr(child, "reset_parameters", None)
        if callable(reset):
            reset()
    float_stages = [stage for stage in job.profile.stages if stage.kind in ("distill", "prune")]
    settings: TrainSettings = float_stages[0].train  # type: ignore[attr-defined]
    epochs = sum(stage.train.epochs for stage in float_stages)  # type: ignore[attr-defined]
    ctx = RunContext(
        task=job.task,
        data=job.data,
        target=job.profile.target,
        reference=job.model,
        device="cuda" if torch.cuda.is_available() else "cpu",
        workdir=out,
        seed=job.seed,
    )
    fit(pruned.module, ctx, settings.model_copy(update={"epochs": epochs}), labels_only(ctx), name="scratch")
    quantize = next(stage for stage in job.profile.stages if stage.kind == "quantize")
    result = quantize.run(replace(pruned, module=pruned.module.cpu()), ctx)
    reference = Snapshot.load(job.out / "00-reference")
    taken = snapshot("scratch", result.model, ctx, out, reference)
    taken.save(out)
    return taken


def known(value: float | None) -> float:
    """A figure that was measured; a benchmark without it is none."""
    if value is None:
        raise ValueError("a figure of the benchmark was not measured")
    return value


def mean(values: list[float]) -> str:
    """Mean and, of several, its standard error."""
    if len(values) < 2:
        return f"{values[0]:.4g}"
    return f"{statistics.fmean(values):.4g} ± {statistics.stdev(values) / sqrt(len(values)):.2g}"


def remember(path: Path, seed: int, row: dict[str, float]) -> None:
    """Put a seed's figures into the summary, beside those of other seeds that are in it."""
    rows: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    rows[str(seed)] = row
    path.write_text(json.dumps({key: rows[key] for key in sorted(rows, key=int)}, indent=2))


def main() -> None:
    """Run every seed; print the table so far after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".cache/bench_vision"))
    parser.add_argument("--profile", default=str(Path(__file__).with_name("constant.toml")))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--no-scratch", action="store_true", help="leave out the arm that trains from scratch")
    parser.add_argument("--smoke", action="store_true", help="little data and one epoch a stage")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="K=V")
    arguments = parser.parse_args()
    out = arguments.out / "smoke" if arguments.smoke else arguments.out
    data = load_data("fashion-mnist", inputs=INPUT)
    if arguments.smoke:
        data = shorten(data, 1000, 500)
    model = teacher(out, data, (FIRST.model_copy(update={"epochs": 1}),) if arguments.smoke else ROUNDS)
    rows: list[dict[str, float]] = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        job = Job(
            model=model,
            data=data,
            profile=load_profile(arguments.profile, arguments.overrides),
            task=make_task(TASK),
            out=out / f"{Path(arguments.profile).stem}-seed-{seed}",
            seed=seed,
            quick=arguments.smoke,
            control=("run",),
            command="python tools/bench_vision.py",
        )
        with progress_display() as display:
            report = pipeline.run(job, display)
        last, control = report.stages[-1], report.stages[-1].kd
        assert control is not None
        rows.append(
            {
                "teacher": known(report.stages[0].score),
                "score": known(last.score),
                "drop": known(last.score_drop),
                "without_kd": control.without_kd,
                "size_ratio": known(report.ratios.size),
                "latency_ratio": known(report.ratios.latency),
                "seconds": sum(record.seconds for record in report.stages),
            }
        )
        if not arguments.no_scratch:
            rows[-1]["scratch"] = known(from_scratch(job).record.score)
        remember(out / f"{Path(arguments.profile).stem}-seeds.json", seed, rows[-1])
        print(f"\nafter {len(rows)} of {arguments.seeds} seeds (mean ± standard error):")
        print("\n".join(f"| {key} | {mean([row[key] for row in rows])} |" for key in rows[0]), flush=True)


if __name__ == "__main__":
    main()
