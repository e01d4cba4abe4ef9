"""Searches against constants: five networks, 10,000 Fashion-MNIST images, a point of score to lose.

    python tools/bench_goals.py                    # all, in 90 minutes; go on with the same command
    python tools/bench_goals.py --only resnet18    # one network
    python tools/bench_goals.py --table            # what is done so far, as docs/benchmarks.md has it

Of each network: a search by ``mobile-cpu`` with ``--max-drop 0.01`` and nothing else but shorter trainings, so that all
of it fits; cuts drawn at random with as many epochs; the
same constants for every network, as profiles had them; and the best of a row of single cuts with whole trainings,
chosen by the test split afterwards, which no tool could.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goal_networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Callable

from compressor import pipeline
from compressor.cli.progress import progress_display
from compressor.cli.teach import train_teacher
from compressor.context import ShowProgress
from compressor.data import Data
from compressor.data.load import load_data, shorten
from compressor.errors import StageError
from compressor.factories import build, parse_factory
from compressor.loading import load_file
from compressor.models import InputSpec, ModelInfo, TorchModel
from compressor.pipeline import Job
from compressor.pipeline.job import prepared
from compressor.pipeline.loop import Arm, measure_reference
from compressor.pipeline.search.front import Judge
from compressor.pipeline.search.moves import Moves
from compressor.pipeline.search.random_cuts import random_cuts
from compressor.pipeline.search.work import Work
from compressor.profile import Profile, load_profile
from compressor.prune.stage import Prune
from compressor.report import Report
from compressor.target import Goals
from compressor.tasks import make_task
from compressor.training import TrainSettings

TASK = "image-classification"
INPUT = InputSpec(shape=(1, 28, 28), mean=(0.286,), std=(0.353,))
TEACHER = TrainSettings(epochs=6)
MINUTES = 90.0
SHORTER = ("distill.train.epochs=6", "prune.train.epochs=6")
# Of cuts with hindsight, halved by what the test split says of them.
KEEPS = (0.7, 0.5, 0.35, 0.25, 0.18, 0.125, 0.09)
ARMS = ("search", "random", "constant", "hindsight")
PROFILES = Path(__file__).parent
Row = dict[str, Any]


def images() -> Data:
    """10,000 images to learn from, 6,000 to choose by, and the whole test split."""
    whole = load_data("fashion-mnist", inputs=INPUT)
    short = shorten(whole, 10_000, 6_000)
    return replace(short, test=whole.test, fingerprint=f"{short.fingerprint} whole test")


def teacher(name: str, out: Path, data: Data, display: ShowProgress) -> TorchModel:
    """The network, trained once."""
    path = out / f"{name}.pt"
    if not path.exists():
        factory = parse_factory(f"goal_networks:{name}", {})
        fresh = TorchModel(build(factory), ModelInfo(factory=factory, inputs=(INPUT,)))
        print(train_teacher(fresh, data, make_task(TASK), TEACHER, path, seed=0, device="auto", display=display))
    loaded = load_file(path, trust=True)
    assert isinstance(loaded, TorchModel)
    return loaded


def row_of(report: Report, epochs: int) -> Row:
    """The figures of one arm, all of the test split."""
    last = report.stages[-1]
    return {
        "drop": last.score_drop,
        "stderr": last.score_drop_stderr,
        "kB": (last.size_bytes or 0) / 1000,
        "smaller": report.ratios.size,
        "faster": report.ratios.latency,
        "score": last.score,
        "epochs": epochs,
        "status": report.status,
    }


class Bench:
    """One network under every arm."""

    def __init__(self, name: str, model: TorchModel, data: Data, out: Path, display: ShowProgress) -> None:
        self._name, self._model, self._data, self._out, self._display = name, model, data, out, display
        profile = load_profile("mobile-cpu", SHORTER)
        self._open = replace(profile, budget=Goals(score_drop=0.01, minimize="size"))
        # What the search is compared with has no student of its own.
        self._plain = replace(self._open, stages=self._open.stages[1:])

    def _job(self, arm: str, profile: Profile) -> Job:
        out = self._out / f"{self._name}-{arm}"
        return Job(self._model, self._data, profile, make_task(TASK), out, command="python tools/bench_goals.py")

    def search(self) -> Row:
        """As a user has it."""
        report = pipeline.run(self._job("search", self._open), self._display)
        assert report.search is not None
        row = row_of(report, report.search.epochs)
        return row | {f"{key} s": round(value) for key, value in report.search.seconds.items()}

    def random(self, epochs: int) -> Row:
        """Cuts drawn at random, with as many epochs as the search had."""
        job = prepared(self._job("random", self._plain))
        arm = Arm([], [], [])
        measure_reference(job, job.out, job.all_teachers, self._display, arm)
        work = Work(job, arm.snapshots[0], self._display)
        judge = Judge(job.profile.budget, work.reference.record)
        prune, *tail = job.stages
        assert isinstance(prune, Prune)
        moves = Moves(work, judge, prune, tuple(tail), lambda: float("inf"), lambda _: None)
        random_cuts(moves, work.origin, epochs, seed=0)
        chosen = moves.chosen
        found = replace(self._plain, stages=chosen.stages)
        return row_of(pipeline.run(self._job("random", found), self._display), work.epochs)

    def constant(self) -> Row:
        """The same cuts for all networks."""
        report = pipeline.run(self._job("constant", load_profile(str(PROFILES / "constant.toml"))), self._display)
        return row_of(report, 8 + 14 + 2)

    def hindsight(self) -> Row:
        """The smallest of a row of single cuts that keeps the goal on the test split."""
        rows: list[Row] = []
        prune, *tail = self._plain.stages
        assert isinstance(prune, Prune)
        low, high = 0, len(KEEPS)
        while low < high:
            middle = (low + high) // 2
            keep = KEEPS[middle]
            cut = prune.model_copy(update={"ratio": round(1 - keep, 3)})
            profile = replace(self._plain, stages=(cut, *tail))
            try:
                report = pipeline.run(self._job(f"keep-{keep}", profile), self._display)
            except StageError:
                # Rounding leaves the network as it is.
                low = middle + 1
                continue
            rows.append(row_of(report, cut.train.epochs) | {"keep": keep})
            low, high = (middle + 1, high) if (rows[-1]["drop"] or 0.0) <= 0.01 else (low, middle)
        kept = [row for row in rows if (row["drop"] or 0.0) <= 0.01]
        return min(kept or rows, key=lambda row: row["kB"] or 0.0)


def table(out: Path) -> str:
    """Every network and arm that is done."""
    lines = [
        "| network | arm | file, kB | smaller | faster | drop on test, points | epochs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in NETWORKS:
        for arm in ARMS:
            path = out / f"{name}-{arm}.json"
            if path.exists():
                row = json.loads(path.read_text())
                drop = f"{100 * row['drop']:+.2f} ± {100 * row['stderr']:.2f}"
                figures = f"{row['kB']:.1f} | {row['smaller']:.1f}x | {row['faster']:.1f}x | {drop} | {row['epochs']}"
                lines.append(f"| {name} | {arm} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    """Run what isn't done yet, for as long as there is time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".cache/bench_goals"))
    parser.add_argument("--only", choices=NETWORKS, action="append")
    parser.add_argument("--arm", choices=ARMS, action="append")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(arguments.out))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    data, end = images(), time.monotonic() + 60 * arguments.minutes
    with progress_display() as display:
        # The searches first: what they are compared with says nothing without them.
        for arm in arguments.arm or ARMS:
            for name in arguments.only or NETWORKS:
                path = arguments.out / f"{name}-{arm}.json"
                if path.exists() or time.monotonic() > end:
                    continue
                bench = Bench(name, teacher(name, arguments.out, data, display), data, arguments.out, display)
                searched = arguments.out / f"{name}-search.json"
                work: Callable[[], Row] = getattr(bench, arm)
                start = time.monotonic()
                row = bench.random(json.loads(searched.read_text())["epochs"]) if arm == "random" else work()
                path.write_text(json.dumps(row | {"seconds": round(time.monotonic() - start)}, indent=1))
                print(table(arguments.out), flush=True)


if __name__ == "__main__":
    main()
