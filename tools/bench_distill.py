"""Which objective helps a small student, by how much, and whether at all: paired with no distillation, over seeds.

    python tools/bench_distill.py screen     # every objective on 20,000 images, by validation
    python tools/bench_distill.py choose kd_kl-a0.9-t1 --seeds 5                    # on all images, by validation
    python tools/bench_distill.py confirm kd_kl-a0.9-t1 --first-seed 10 --seeds 5   # once, on the test split
    python tools/bench_distill.py few        # 2,000 labels, the rest without
    python tools/bench_distill.py cache      # what an epoch costs with the answers kept
    python tools/bench_distill.py born-again # three generations after one that learned from labels, and their mean

Fashion-MNIST; the teacher is ``bench_vision``'s ResNet-18, or any checkpoint by ``--teacher``; the student is the
same family with under 100,000 parameters. Every objective and the control get the same seeds and steps. The teacher's
answers are kept for 12 views of each sample and asked for once for all trainings. Each finished training is kept, so an
interrupted benchmark goes on.
"""

import argparse
import hashlib
import json
import statistics
import time
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_vision import FACTORY, INPUT, TASK
from scipy import stats

from compressor.context import RunContext, Teacher
from compressor.data import Data
from compressor.data.batches import Subset
from compressor.data.load import load_data, shorten
from compressor.data.splits import stratified
from compressor.data.unlabeled import with_unlabeled
from compressor.digests import module_digest
from compressor.distill import KdSettings, recover
from compressor.distill.generations import score_of_mean, train_generations
from compressor.distill.stage import Distill
from compressor.factories import build
from compressor.loading import load_file
from compressor.models import FactoryRef, ModelInfo, TorchModel
from compressor.target import Target
from compressor.tasks import make_task
from compressor.training import TrainSettings, evaluate

STUDENT = FactoryRef(reference=FACTORY.reference, arguments={**FACTORY.arguments, "width": 16, "layers": [1, 1, 1]})
SCREENED, FEW, VIEWS = 20_000, 2_000, 12
SPLITS = ("validation", "test")
FEATURES = {
    "hint": 1.0,
    "attention_transfer": 50.0,
    "rkd_distance": 25.0,
    "rkd_angle": 50.0,
    "similarity_preserving": 500.0,
}


def objectives() -> dict[str, KdSettings | None]:
    """By name; None is the control."""
    found: dict[str, KdSettings | None] = {"control": None, "label_smoothing": KdSettings(label_smoothing=0.1)}
    for alpha in (0.3, 0.5, 0.9, 1.0):
        for temperature in (1.0, 2.0, 4.0, 8.0):
            kd = KdSettings(alpha=alpha, temperature=temperature)
            found[f"kd_kl-a{alpha:g}-t{temperature:g}"] = kd
            found[f"kd_kl-a{alpha:g}-t{temperature:g}-views-2"] = kd.model_copy(update={"cache": "on", "views": 2})
    for alpha in (0.5, 0.9):
        found[f"logit_mse-a{alpha:g}"] = KdSettings(alpha=alpha, response="logit_mse")
        found[f"decoupled_kd-a{alpha:g}"] = KdSettings(alpha=alpha, temperature=4.0, response="decoupled_kd")
    for loss, weight in FEATURES.items():
        terms = [{"loss": loss, "weight": weight}]
        found[f"kd_kl+{loss}"] = KdSettings.model_validate({"alpha": 0.9, "temperature": 1.0, "terms": terms})
        found[f"labels+{loss}"] = KdSettings.model_validate({"alpha": 0.0, "terms": terms})
    return found


class Bench:
    """Trainings that are done once and kept.

    Args:
        out: Where.
        teacher: The checkpoint.
        train: How long and how, the same for all.
    """

    def __init__(self, out: Path, teacher: Path, train: TrainSettings) -> None:
        loaded = load_file(teacher)
        assert isinstance(loaded, TorchModel)
        self.out, self.teacher, self.train = out, loaded, train
        self.data = load_data("fashion-mnist", inputs=INPUT)

    def context(self, workdir: Path, seed: int, data: Data, teachers: bool) -> RunContext:
        """The run's facts for one training."""
        return RunContext(
            task=make_task(TASK),
            data=data,
            target=Target(runtime="onnxruntime"),
            reference=self.teacher,
            teachers=(Teacher(self.teacher),) if teachers else (),
            device="cuda" if torch.cuda.is_available() else "cpu",
            workdir=workdir,
            seed=seed,
        )

    def train_one(self, name: str, kd: KdSettings | None, seed: int, data: Data) -> dict[str, Any]:
        """Validation and test score of one student; from the folder if it was trained before."""
        taught = kd is not None and not kd.label_smoothing
        teacher = module_digest(self.teacher.module) if taught else None
        if taught and kd is not None and not kd.terms and kd.cache == "off":
            kd = kd.model_copy(update={"cache": "on", "views": VIEWS})
        facts = [self.train.model_dump(), kd and kd.model_dump(), data.fingerprint, teacher]
        path = self.out / f"{name}-seed-{seed}.json"
        if path.exists() and (known := json.loads(path.read_text()))["facts"] == json.loads(json.dumps(facts)):
            return dict(known)
        torch.manual_seed(seed)
        module = build(STUDENT)
        ctx = self.context(self.out / f"{name}-seed-{seed}", seed, data, taught)
        # A folder keeps the answers for one training split and one number of views.
        split = hashlib.sha256(data.fingerprint.encode()).hexdigest()[:12]
        ctx = replace(ctx, shared=self.out.parent / f"answers-{split}-{kd.views if kd else 0}")
        started = time.perf_counter()
        result = recover(module, ctx, self.train, kd or KdSettings())
        row = {
            "facts": facts,
            "validation": result.score,
            "test": evaluate(module, ctx, "test").value,
            "steps": result.steps,
            "seconds": time.perf_counter() - started,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row))
        print(f"{name} seed {seed}: validation {row['validation']:.4f}, {row['seconds']:.0f} s", flush=True)
        return row

    def table(self, names: list[str], seeds: range, data: Data) -> None:
        """Every objective against the control, paired by seed, on both splits that it wasn't trained on."""
        known = objectives()
        control = [self.train_one("control", None, seed, data) for seed in seeds]
        columns = " | ".join(f"{split} | against the control | 95 % interval" for split in SPLITS)
        print(f"\n| objective | {columns} |\n| --- |" + " --- |" * 3 * len(SPLITS))
        print(f"| control | {' | '.join(cells(control, None, split) for split in SPLITS)} |", flush=True)
        for name in names:
            rows = [self.train_one(name, known[name], seed, data) for seed in seeds]
            print(f"| {name} | {' | '.join(cells(rows, control, split) for split in SPLITS)} |", flush=True)


def cells(rows: list[dict[str, Any]], control: list[dict[str, Any]] | None, split: str) -> str:
    """One objective's mean score on a split and how it compares."""
    scores = [row[split] for row in rows]
    compared = " | " if control is None else interval(scores, [row[split] for row in control])
    return f"{statistics.fmean(scores):.4f} | {compared}"


def interval(scores: list[float], control: list[float]) -> str:
    """Mean paired difference ± its standard error, and the 95 % t interval, in points."""
    differences = 100 * (np.array(scores) - np.array(control))
    if len(differences) < 2:
        return f"{differences.mean():+.2f} | one seed"
    error = differences.std(ddof=1) / sqrt(len(differences))
    half = stats.t.ppf(0.975, len(differences) - 1) * error
    low, high = differences.mean() - half, differences.mean() + half
    return f"{differences.mean():+.2f} ± {error:.2f} | {low:+.2f} to {high:+.2f}"


def screened(data: Data) -> Data:
    """20,000 training samples and the whole of the other splits."""
    return replace(shorten(data, SCREENED, len(data.test)), test=data.test)


def few_labels(data: Data) -> Data:
    """2,000 samples with labels, drawn stratified, and all others without."""
    chosen = stratified(data.train.labels, FEW, seed=0)
    rest = torch.ones(len(data.train), dtype=torch.bool)
    rest[chosen] = False
    labelled = replace(data, train=Subset(data.train, chosen), fingerprint=f"{data.fingerprint} {FEW} labels")
    return with_unlabeled(labelled, Subset(data.train, rest.nonzero().flatten()), "the rest of train")


def time_cache(bench: Bench, rounds: int) -> None:
    """An epoch of the student alone, with its teacher, and with the teacher's answers kept; in turn, one run."""
    # One precision for all: "auto" would time each with its own teacher beside it.
    train = bench.train.model_copy(update={"epochs": 2, "precision": "bf16"})
    data = shorten(bench.data, SCREENED, 500)
    settings = {"alone": None, "asked": KdSettings(), "kept": KdSettings(cache="on", views=1)}
    seconds: dict[str, list[float]] = {name: [] for name in settings}
    for number in range(rounds):
        for name, kd in settings.items():
            ctx = bench.context(bench.out / f"cache-{name}-{number}-{time.time_ns()}", 0, data, kd is not None)
            result = recover(build(STUDENT), ctx, train, kd or KdSettings())
            # The second epoch: the first fills the cache.
            seconds[name].append(result.history[1]["seconds"])
    ratios = {name: [a / b for a, b in zip(times, seconds["alone"], strict=True)] for name, times in seconds.items()}
    print("\n| epoch | seconds, median | against the student alone |\n| --- | --- | --- |")
    for name, times in seconds.items():
        spread = f"{min(ratios[name]):.2f} to {max(ratios[name]):.2f}"
        print(f"| {name} | {statistics.median(times):.1f} | {statistics.median(ratios[name]):.2f} ({spread}) |")


def born_again(bench: Bench, seeds: range) -> None:
    """A student of labels alone, three generations that it begins, and the mean of those three."""
    once = Distill(generations=1, train=bench.train)
    data = screened(bench.data)
    rows: list[dict[str, float]] = []
    for seed in seeds:
        # Named by its length: another must not be taken for it.
        path = bench.out / f"seed-{seed}-{bench.train.epochs}-epochs.json"
        if not path.exists():
            torch.manual_seed(seed)
            model = TorchModel(build(STUDENT), ModelInfo(factory=STUDENT, inputs=(INPUT,)))
            ctx = bench.context(bench.out / f"labels-seed-{seed}", seed, data, teachers=False)
            [(_, first, _)] = train_generations(model, ctx, once)
            ctx = bench.context(bench.out / f"seed-{seed}", seed, data, teachers=False)
            ctx = replace(ctx, teachers=(Teacher(first),))
            trained = train_generations(model, ctx, once.model_copy(update={"generations": 3}))
            row = {"labels alone": evaluate(first.module, ctx, "test").value}
            row |= {name: evaluate(one.module, ctx, "test").value for name, one, _ in trained}
            together = replace(ctx, teachers=tuple(Teacher(one) for _, one, _ in trained))
            path.write_text(json.dumps({**row, "mean of the three": score_of_mean(together, "test")}))
        rows.append(json.loads(path.read_text()))
        print(rows[-1], flush=True)
    print("\n| generation | test | against labels alone | 95 % interval |\n| --- | --- | --- | --- |")
    first_scores = [row["labels alone"] for row in rows]
    for name in rows[0]:
        scores = [row[name] for row in rows]
        print(f"| {name} | {statistics.fmean(scores):.4f} | {interval(scores, first_scores)} |")


def main() -> None:
    """One part of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("screen", "choose", "confirm", "few", "cache", "born-again"))
    parser.add_argument("names", nargs="*", help="objectives; all where none is named")
    parser.add_argument("--out", type=Path, default=Path(".cache/bench_distill"))
    parser.add_argument("--teacher", type=Path, default=Path(".cache/bench_vision/teacher-2.pt"))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=TrainSettings().lr)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    train = TrainSettings(epochs=arguments.epochs, lr=arguments.lr)
    bench = Bench(arguments.out / arguments.part, arguments.teacher, train)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    names = arguments.names or [name for name in objectives() if name != "control" and "views" not in name]
    if arguments.part == "screen":
        bench.table(names, seeds, screened(bench.data))
    elif arguments.part in ("choose", "confirm"):
        bench.table(names, seeds, bench.data)
    elif arguments.part == "few":
        # The control repeats its 2,000 samples, in other views, for as many steps.
        bench.table(arguments.names or ["kd_kl-a0.9-t1"], seeds, few_labels(bench.data))
    elif arguments.part == "cache":
        time_cache(bench, arguments.seeds)
    else:
        born_again(bench, seeds)


if __name__ == "__main__":
    main()
