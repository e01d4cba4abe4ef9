"""Importance scores against what channels are worth: of each group cut alone the predicted and the measured drop.

    python tools/bench_sensitivity.py              # ResNet-18 and the textbook's network, Fashion-MNIST
    python tools/bench_sensitivity.py --table      # what is done so far, as docs/benchmarks.md has it
    python tools/bench_sensitivity.py --only Textbook --samples 2000

For every score, group and ratio the channels that the score holds least of leave one copy of the network, nothing is
trained or estimated anew, and the drop of accuracy and the rise of the loss are measured on part of the validation
split. Predicted is the sum of the removed channels' scores. The rank correlations are over the groups at one ratio,
the mean over ratios; beside them what the cuts cost on average, which tells how well a score chooses within a group.
The teachers of ``kd-taylor`` are the other network. Checkpoints are those of bench_goals.py, trained if they aren't
there.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_goals import TASK, images, teacher
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional

from compressor.cli.progress import progress_display
from compressor.context import RunContext, Teacher
from compressor.copies import copy_of
from compressor.data import Data
from compressor.measure import collect_outputs, paired_drop, score_outputs
from compressor.models import TorchModel
from compressor.pipeline.search.sensitivity import RATIOS, cut_alone, few_of, groups_in
from compressor.prune.importance import Importance, measure_gradients
from compressor.runners import TorchRunner
from compressor.target import Target
from compressor.tasks import Score, make_task

SCORES: tuple[Importance, ...] = ("magnitude", "lamp", "taylor", "fisher", "hessian", "kd-taylor", "random")
COMPARED = ("Textbook", "resnet18")
ENOUGH = 0.7
Row = dict[str, Any]


def scored(module: nn.Module, few: RunContext) -> tuple[Score, float]:
    """Accuracy and mean cross-entropy on validation."""
    with TorchRunner(module) as runner:
        outputs = collect_outputs(runner, few, "validation")
    loss = functional.cross_entropy(torch.from_numpy(outputs), few.data.validation.labels)
    return score_outputs(outputs, few, "validation"), float(loss)


def measure(path: Path, model: TorchModel, other: TorchModel, data: Data, samples: int) -> None:
    """Every score, group and ratio that the file doesn't have yet: what was predicted and what was measured."""
    rows: list[Row] = json.loads(path.read_text()) if path.exists() else []
    reference = replace(model, module=model.module.eval())
    ctx = RunContext(
        task=make_task(TASK),
        data=data,
        target=Target(runtime="onnxruntime"),
        reference=reference,
        teachers=(Teacher(other),),
        workdir=path.parent,
    )
    few, groups = few_of(ctx, samples), groups_in(model.module, ctx)
    whole, least = scored(model.module, few)
    for score in (one for one in SCORES if one not in {row["score"] for row in rows}):
        ranked, start = copy_of(model.module), time.monotonic()
        measure_gradients(ranked, score, ctx)
        for ratio in RATIOS:
            for at, group in enumerate(groups):
                cut, report = cut_alone(ranked, ctx, groups, at, ratio, score)
                left, loss = scored(cut, few)
                drop, stderr = paired_drop(whole, left, higher_is_better=True)
                about = {"score": score, "group": group[0], "ratio": ratio}
                rows.append({**about, "predicted": report.lost, "drop": drop, "stderr": stderr, "rise": loss - least})
        path.write_text(json.dumps(rows, indent=1))
        print(f"{path.stem}, {score}: {time.monotonic() - start:.0f} s", flush=True)


def correlation(rows: list[Row], of: str) -> float:
    """Spearman's over the groups at each ratio, the mean over ratios; ties share a rank, no spread counts 0."""
    found = []
    for ratio in RATIOS:
        pairs = [(row["predicted"], row[of]) for row in rows if row["ratio"] == ratio]
        predicted, measured = zip(*pairs, strict=True)
        spread = len(set(predicted)) > 1 and len(set(measured)) > 1
        found.append(float(spearmanr(predicted, measured).statistic) if spread else 0.0)
    return float(np.mean(found))


def table(out: Path) -> str:
    """Every score on every network that is done."""
    done = {
        name: json.loads((out / f"{name}.json").read_text()) for name in COMPARED if (out / f"{name}.json").exists()
    }
    if not done:
        return "nothing is done yet"
    counts = {name: len({row["group"] for row in rows}) for name, rows in done.items()}
    heads = [f"{name}, {counts[name]} groups: with the drop | with the loss | mean drop, points" for name in done]
    lines = [f"| score | {' | '.join(heads)} |", "|---|" + "---|---|---|" * len(done)]
    above = dict.fromkeys(SCORES, True)
    for score in SCORES:
        cells = []
        for rows in done.values():
            own = [row for row in rows if row["score"] == score]
            found, drops = correlation(own, "drop"), [100 * row["drop"] for row in own]
            above[score] &= found > ENOUGH
            cells.append(f"{found:+.2f} | {correlation(own, 'rise'):+.2f} | {np.mean(drops):.2f}")
        lines.append(f"| {score} | {' | '.join(cells)} |")
    over = [score for score, is_above in above.items() if is_above]
    lines += ["", f"over {ENOUGH} on all: {', '.join(over) or 'none'}"]
    return "\n".join(lines)


def main() -> None:
    """Measure what isn't there yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".cache/bench_sensitivity"))
    parser.add_argument("--networks", type=Path, default=Path(".cache/bench_goals"), help="where checkpoints lie")
    parser.add_argument("--only", choices=COMPARED, action="append")
    parser.add_argument("--samples", type=int, default=500, help="of the validation split")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if not arguments.table:
        arguments.out.mkdir(parents=True, exist_ok=True)
        arguments.networks.mkdir(parents=True, exist_ok=True)
        data = images()
        with progress_display() as display:
            models = {name: teacher(name, arguments.networks, data, display) for name in COMPARED}
        torch.manual_seed(0)
        for name, other in zip(COMPARED, reversed(COMPARED), strict=True):
            if not arguments.only or name in arguments.only:
                measure(arguments.out / f"{name}.json", models[name], models[other], data, arguments.samples)
    print(table(arguments.out))


if __name__ == "__main__":
    main()
