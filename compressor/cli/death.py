"""What is said, and what is written, where the process that did the work died."""

import tempfile
from pathlib import Path

import click

from compressor.cli.child import Death
from compressor.cli.printed import clean, echo
from compressor.errors import CompressError, ExitCode, StageError
from compressor.passwords import masked

KEPT = "what is finished is kept: run again to go on"
TRACE = "crash.txt"


def show_error(error: CompressError) -> ExitCode:
    """Print an error and what to do about it; gives its exit code."""
    echo(f"error: {masked(error.message)}", err=True)
    if error.hint:
        click.echo(f"  try: {clean(masked(error.hint))}", err=True)
    return error.exit_code


def bury(death: Death) -> ExitCode:
    """Say where the work was and what killed it, and write that into the run's report."""
    at = f" in {death.facts['at']}" if death.facts.get("at") else ""
    message = f"the work ended{at}: {death.reason}"
    if death.line:
        message += f"\n  the code that ran: {death.line}"
    out = death.facts.get("out")
    trace = keep_trace(death)
    if trace is not None:
        message += f"\n  where each thread was: {trace}"
    if out:
        _mark_failed(Path(out), message, float(death.facts["since"]))
    return show_error(StageError(message, f"{_advice(death)}; {KEPT}"))


def keep_trace(death: Death) -> Path | None:
    """Write where the threads stood into the run's folder, or a folder of its own; None where nothing is known."""
    if not death.trace.strip():
        return None
    out = death.facts.get("out")
    folder = Path(out) if out and Path(out).is_dir() else Path(tempfile.mkdtemp(prefix="compress-"))
    path = folder / TRACE
    path.write_text(death.trace)
    return path


def _advice(death: Death) -> str:
    if death.signal is None:
        return "a network and data whose code doesn't end the process"
    if "out of memory" in death.reason:
        return "a smaller train.batch_size or quantize.calibration_batch_size, or a machine with more memory"
    return "a fault in native code is that of one operator or library: another version of it, or a network without it"


def _mark_failed(out: Path, note: str, since: float) -> None:
    """Let the reports that this run left unfinished say how it ended."""
    from compressor.report import Report
    from compressor.report_html import write_html

    for path in (out / "report.json", *sorted(out.glob("seed-*/report.json"))):
        try:
            if path.stat().st_mtime < since:
                continue
            report = Report.read(path)
        except (OSError, CompressError):
            continue
        if report.status == "interrupted":
            failed = report.model_copy(update={"status": "failed", "notes": [note]})
            path.write_text(failed.model_dump_json(indent=2))
            write_html(failed, path.with_suffix(".html"))
