"""Finished runs of ``bench_text.py``: paired with their controls, and timed once more while the machine is idle.

    python tools/compare_text.py .cache/bench_text constant-seed-0 constant-seed-1 constant-seed-2
    python tools/compare_text.py .cache/bench_mpnet taught-seed-0

For a run whose arms had a core each. For every stage that has a control: the difference on the test sentences, and
how many both answer as the reference does. Then the last stage's file and the reference's in turn, one sentence a call.
"""

import argparse
from pathlib import Path

from bench_vision import known

from compressor.context import RunContext
from compressor.data.load import load_data
from compressor.loading import load_file
from compressor.measure import Snapshot, interleaved_latency, timed_inputs
from compressor.models import TorchModel
from compressor.pipeline.control import compare
from compressor.runners import runner_for
from compressor.target import Target
from compressor.tasks import make_task

TIMES = 3
TARGET = Target(runtime="onnxruntime")


def context(out: Path, snapshot: Snapshot) -> RunContext:
    """The movie sentences in the tokens of that stage's network."""
    teacher = load_file(out / "teacher")
    assert isinstance(teacher, TorchModel)
    data = load_data(str(out / "movie"), classes=teacher.info.classes)
    return RunContext(
        task=make_task("text-classification"),
        data=data.seen_by(snapshot.artifact.info.tokenizer),
        target=TARGET,
        reference=teacher,
        teachers=(),
        workdir=out,
    )


def agreement(one: Snapshot, other: Snapshot) -> float:
    """Share of test sentences for which both give the same class."""
    return float((one.outputs.argmax(-1) == other.outputs.argmax(-1)).mean())


def pair_with_control(folder: Path, name: str, reference: Snapshot, out: Path) -> None:
    """One line for a stage that was done with and without distillation."""
    taken, without = Snapshot.load(folder / name), Snapshot.load(folder / "control" / name)
    kd = compare(taken, without, context(out, taken))
    print(
        f"{folder.name} {name}: {kd.with_kd:.4f} instead of {kd.without_kd:.4f}, "
        f"{100 * known(kd.difference):+.2f} ± {100 * known(kd.stderr):.2f} points; "
        f"answers as the reference {agreement(taken, reference):.3f} and {agreement(without, reference):.3f}"
    )


def time_in_turn(label: str, reference: Snapshot, last: Snapshot, out: Path) -> None:
    """A line for each measurement of the last file beside the reference's."""
    inputs = [timed_inputs(context(out, one)) for one in (reference, last)]
    for _ in range(TIMES):
        with runner_for(reference.artifact, TARGET) as slow, runner_for(last.artifact, TARGET) as fast:
            latency = interleaved_latency([slow, fast], inputs, threads=TARGET.threads)
        before, after = (known(one.p50) for one in latency)
        print(
            f"{label}: p50 {after:.3f} ms ± {known(latency[1].spread):.3f} against {before:.3f} ms, "
            f"{before / after:.1f}x",
            flush=True,
        )


def main() -> None:
    """Each run in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the benchmark's folder, with movie/ and teacher/")
    parser.add_argument("runs", nargs="+", help="names of runs in it")
    arguments = parser.parse_args()
    for run in arguments.runs:
        folder = arguments.out / run
        names = sorted(path.parent.name for path in folder.glob("[0-9]*/snapshot.json"))
        if len(names) < 2:
            parser.error(f"{folder} has no finished stage after the reference")
        reference, last = (Snapshot.load(folder / name) for name in (names[0], names[-1]))
        for name in names[1:]:
            if (folder / "control" / name / "snapshot.json").exists():
                pair_with_control(folder, name, reference, arguments.out)
        time_in_turn(f"{run} {names[-1]}", reference, last, arguments.out)


if __name__ == "__main__":
    main()
