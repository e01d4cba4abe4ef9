"""``compress explain``: why a file is not smaller or faster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from compressor.explain import Explanation

SHOWN_OPERATORS = 8


@click.command()
@click.argument("path", metavar="RUN|FILE")
@click.option(
    "--runtime", type=click.Choice(["onnxruntime", "tensorrt"]), help="Whose rules; without it, as the file says."
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; without it, as the run's target has them.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Samples per call; the same.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(path: str, runtime: str | None, threads: int | None, batch_size: int | None, as_json: bool) -> None:
    """Say what of the time and bytes of an ONNX FILE, or of a RUN's last artifact, has a cause that can go.

    The file is called with noise and ONNX Runtime's own profile is read; each cause comes with what it costs and
    what would end it.
    """
    from compressor.cli.console import print_json
    from compressor.explain import explain_path

    changed = {"runtime": runtime, "threads": threads, "batch_size": batch_size}
    found = explain_path(Path(path), {name: value for name, value in changed.items() if value is not None})
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)


def _print(found: Explanation) -> None:
    from rich.text import Text

    from compressor.cli.console import console, megabytes, print_table
    from compressor.figures import count

    out = console()
    took = "" if found.call_milliseconds is None else f", {found.call_milliseconds:.3f} ms a call"
    out.print(Text(f"{found.file}: {megabytes(found.size_bytes)}{took} ({found.runtime})"), soft_wrap=True)
    if found.operators:
        rows = [
            (one.operator, str(one.count), f"{one.milliseconds:.3f}", count(one.macs or None))
            for one in found.operators[:SHOWN_OPERATORS]
        ]
        print_table("where the time goes", ["operator", "nodes", "ms", "MACs"], rows, right=1)
    for number, finding in enumerate(found.findings, 1):
        costs = [] if finding.milliseconds is None else [f"{finding.milliseconds:.3f} ms"]
        costs += [] if finding.size_bytes is None else [megabytes(finding.size_bytes)]
        out.print(Text(f"{number}. {finding.kind} ({', '.join(costs) or 'not measured here'})"), soft_wrap=True)
        out.print(Text(f"   {finding.cause}"), soft_wrap=True)
        out.print(Text(f"   fix: {finding.fix}"), soft_wrap=True)
    if not found.findings:
        out.print(Text("nothing found that costs time or bytes without need"))
    for note in found.notes:
        out.print(Text(f"note: {note}"), soft_wrap=True)
