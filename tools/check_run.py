"""What a finished run's files must keep beyond its report, by the rules of the runtime they are for.

    python tools/check_run.py RUN [RUN ...]

For every run: the pruned and the quantized model give the same bits in a fresh process that imports the package
alone; the ONNX file answers as torch does. For ONNX Runtime on the CPU also: every convolution is an integer one with
nothing between two of them, and our post-training quantization against ONNX Runtime's own on the same pruned network.
For TensorRT: the rules of explicit quantization, and a build by TensorRT-RTX on the CPU. Ends with 1 where one fails.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from static_ptq import quantized_by_onnxruntime

from compressor.context import RunContext
from compressor.data import Data
from compressor.data.load import load_data
from compressor.export.lint import float_ops, lint_onnxruntime, lint_tensorrt, optimized_graph_ops
from compressor.export.onnx import export_onnx
from compressor.export.tensorrt import validate_for_tensorrt
from compressor.loading import load_form
from compressor.measure import collect_outputs, interleaved_latency, parity, score_outputs
from compressor.models import QuantizedModel, TorchForm, TorchModel
from compressor.quantize.stage import Quantize
from compressor.report import Report
from compressor.runners import OnnxRunner, TorchRunner
from compressor.target import Target
from compressor.tasks import make_task

AGREEMENT, ERROR, POINTS, SLOWER = 0.995, 0.05, 0.003, 1.1
COMPARED = 2000
RELOAD = """
import sys
import torch
from pathlib import Path
from compressor.loading import load_form
torch.set_num_threads(1)
inputs = torch.load(sys.argv[1], weights_only=True)
with torch.no_grad():
    torch.save([load_form(Path(folder)).module(inputs) for folder in sys.argv[3:]], sys.argv[2])
"""


class Checks:
    """Prints each check as it is made and remembers whether one failed."""

    def __init__(self) -> None:
        self.failed = False

    def add(self, what: str, found: object, passed: bool) -> None:
        """One line."""
        self.failed |= not passed
        print(f"| {what} | {found} | {'yes' if passed else 'NO'} |", flush=True)


def torch_form(folder: Path) -> TorchForm:
    """What a stage's folder holds, which is a form of torch."""
    form = load_form(folder)
    assert isinstance(form, (TorchModel, QuantizedModel))
    return form


def check_answers(model: QuantizedModel, file: Path, ctx: RunContext, checks: Checks) -> None:
    """The file against torch, by answers on part of the test split and by score on all of it."""
    with TorchRunner(model.module) as runner:
        expected = collect_outputs(runner, ctx)
    with OnnxRunner(file) as runner_of_file:
        found = collect_outputs(runner_of_file, ctx)
    compared = parity(expected[:COMPARED], found[:COMPARED])
    share = compared.mean_abs_error / compared.logit_std
    checks.add(
        f"same top class as torch on {compared.samples} inputs",
        f"{compared.agreement:.2%}",
        compared.agreement >= AGREEMENT,
    )
    checks.add("mean logit difference, of the logits' std", f"{share:.2%}", share <= ERROR)
    scores = [score_outputs(outputs, ctx).value for outputs in (expected, found)]
    checks.add(
        f"score in torch / in ONNX Runtime, {len(found)} inputs",
        f"{scores[0]:.4f} / {scores[1]:.4f}",
        abs(scores[0] - scores[1]) <= POINTS,
    )


def check_reload(run: Path, data: Data, checks: Checks) -> None:
    """The same bits in a process that imports nothing but the package."""
    folders = [run / "02-prune", run / "03-quantize"]
    images = data.batch("test", torch.arange(64)).inputs[0].contiguous()
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch) / "inputs.pt", Path(scratch) / "outputs.pt"
        torch.save(images, inputs)
        subprocess.run([sys.executable, "-c", RELOAD, inputs, outputs, *folders], check=True)
        fresh = torch.load(outputs, weights_only=True)
    with torch.no_grad():
        here = [torch_form(folder).module(images) for folder in folders]
    for folder, one, other in zip(folders, fresh, here, strict=True):
        same = torch.equal(one, other)
        checks.add(f"{folder.name} reloaded in a fresh process", "same bits" if same else "other bits", same)


def check_integers(file: Path, checks: Checks) -> None:
    """ONNX Runtime's own graph of the file."""
    faults = lint_onnxruntime(file)
    found = optimized_graph_ops(file)
    checks.add(
        "convolutions in integers", f"{found['QLinearConv']} of {found['QLinearConv'] + found['Conv']}", not faults
    )
    print(f"| operators left in float | {', '.join(float_ops(file)) or 'none'} | |")
    for fault in faults:
        print(f"| fault | {fault} | NO |")


def check_ptq(pruned: TorchModel, ctx: RunContext, checks: Checks) -> None:
    """Ours and ONNX Runtime's post-training quantization of the same network."""
    examples = ctx.task.example_inputs(ctx.data, 2)
    plain = export_onnx(pruned, ctx.workdir / "float.onnx", examples).path
    theirs = quantized_by_onnxruntime(plain, ctx.data, ctx.workdir)
    quantized = Quantize(qat=False).run(pruned, ctx).model
    assert isinstance(quantized, QuantizedModel)
    ours = export_onnx(quantized, ctx.workdir / "ours.onnx", examples).path
    with OnnxRunner(ours) as first, OnnxRunner(theirs) as second:
        scores = [score_outputs(collect_outputs(runner, ctx), ctx).value for runner in (first, second)]
        one = (np.ascontiguousarray(examples[0][:1].numpy()),)
        times = [latency.p50 or 0.0 for latency in interleaved_latency([first, second], [[one], [one]], threads=1)]
    checks.add(
        "PTQ's score: ours / quantize_static",
        f"{scores[0]:.4f} / {scores[1]:.4f}",
        abs(scores[0] - scores[1]) <= POINTS,
    )
    checks.add(
        "PTQ's p50: ours / quantize_static", f"{times[0]:.4f} / {times[1]:.4f} ms", times[0] <= SLOWER * times[1]
    )


def check_tensorrt(file: Path, target: Target, checks: Checks) -> None:
    """TensorRT's rules, by our lint and by its own parser and builder."""
    for name, faults in (("rules of explicit quantization", lint_tensorrt(file)),
                         ("builds in TensorRT-RTX", validate_for_tensorrt(file, target))):  # fmt: skip
        checks.add(name, "; ".join(faults[:3]) or "no complaint", not faults)


def check_run(run: Path, checks: Checks) -> None:
    """Every check of one run."""
    report = Report.read(run / "report.json")
    target = Target.model_validate(report.profile["target"])
    pruned, quantized = (torch_form(run / name) for name in ("02-prune", "03-quantize"))
    assert isinstance(pruned, TorchModel)
    assert isinstance(quantized, QuantizedModel)
    data = load_data(report.data["source"], args=pruned.info.data_args, inputs=pruned.info.inputs[0])
    print(f"\n{report.profile['name']} on {data.source}, seed {report.seed}\n")
    print("| check | found | passed |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        ctx = RunContext(
            task=make_task(pruned.info.task),
            data=data,
            target=target,
            reference=pruned,
            workdir=Path(scratch),
            seed=report.seed,
        )
        file = run / report.artifacts[0].path
        check_answers(quantized, file, ctx, checks)
        check_reload(run, data, checks)
        if target.runtime == "tensorrt":
            check_tensorrt(file, target, checks)
        else:
            check_integers(file, checks)
            check_ptq(pruned, ctx, checks)


def main() -> None:
    """Check the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    torch.set_num_threads(1)
    checks = Checks()
    for run in parser.parse_args().runs:
        check_run(run, checks)
    sys.exit(checks.failed)


if __name__ == "__main__":
    main()
