"""``compress gate``: exit 0 or 6, by limits and a baseline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compressor.cli.goals import LIMIT_OPTIONS
from compressor.cli.options import MODEL_OPTIONS, ModelOptions, add_options
from compressor.errors import ExitCode, InputError

if TYPE_CHECKING:
    from compressor.gate import Check, Gate, Subject

TABLE = "compress.toml"
GATE_OPTIONS = (
    *LIMIT_OPTIONS,
    click.option("--min-score", metavar="X", help="The score on test is at least this."),
    click.option("--max-score-drop", metavar="X", help="It is at most so far below the reference's; 0.01 is a point."),
    click.option("--baseline", metavar="OLD", help="Nothing may be worse than this: a run, a report, a file."),
    click.option(
        "--tolerate",
        multiple=True,
        metavar="FIGURE=X",
        help="How much worse: size=1%, latency=5%, params=1%, macs=1%, score=0.005 are what is not said.",
    ),
    click.option("--confidence", metavar="P", help="Of intervals of latency and score: 0.99."),
    click.option("--seconds", metavar="S", help="How long latency is measured before it is left undecided: 20."),
    click.option("--undecided", metavar="HOW", help="What that means: measured (the value decides), fail or pass."),
    click.option("--allow-unmeasured", is_flag=True, help="A figure that is missing is no failure."),
    click.option("--config", metavar="FILE", help=f"A TOML file with a [gate] table; {TABLE} is read where it lies."),
)
OUTPUTS = (
    click.option("--update", is_flag=True, help="Write FILE's figures to --baseline, and check nothing."),
    click.option("--junit", metavar="FILE", help="Write JUnit XML."),
    click.option("--markdown", metavar="FILE", help="Write Markdown, for a pull request."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
)


@dataclass(frozen=True)
class Outputs:
    """Where verdicts go, besides the terminal."""

    junit: Path | None
    markdown: Path | None
    as_json: bool


@click.command()
@click.argument("file", metavar="RUN|REPORT|FILE")
@add_options(GATE_OPTIONS)
@add_options(OUTPUTS)
@add_options(MODEL_OPTIONS)
def gate(
    file: str,
    update: bool,
    junit: str | None,
    markdown: str | None,
    as_json: bool,
    tolerate: tuple[str, ...],
    config: str | None,
    **typed: Any,
) -> int:
    """Check a run's folder, its report.json, or a bare .onnx, .engine or .safetensors file.

    Ends with 0 if every check passed and with 6 if one failed; a figure that nobody measured fails. Against a baseline
    both files are timed in turns until an interval tells them apart. In GitHub Actions it annotates and writes the
    step's summary.
    """
    from compressor.gate import checked, subject_of, write_baseline
    from compressor.reading import placed

    settings = _settings(typed, tolerate, config)
    outputs = Outputs(_output("--junit", junit), _output("--markdown", markdown), as_json)
    subject = subject_of(placed(file, "RUN|REPORT|FILE", "the folder of a run, its report.json, or a file"))
    if typed["data"] is not None:
        subject = _scored(subject, file, typed)
    if update:
        if settings.baseline is None:
            raise InputError("--update: where to?", "--baseline baseline.json --update")
        for line in write_baseline(subject, Path(settings.baseline)) or ["nothing changed"]:
            click.echo(line)
        return ExitCode.DONE
    baseline = None
    if settings.baseline is not None:
        baseline = subject_of(placed(settings.baseline, "--baseline", "a run, a report or a file"))
    checks = checked(subject, baseline, settings)
    _tell(checks, subject.name, baseline.name if baseline else "", outputs)
    return ExitCode.DONE if all(check.passed for check in checks) else ExitCode.BUDGET_MISSED


def _settings(typed: dict[str, Any], tolerate: tuple[str, ...], config: str | None) -> Gate:
    """The table's settings with what was typed in their place."""
    from compressor.assignments import parse_assignment
    from compressor.gate import Gate
    from compressor.reading import as_record, placed, read_toml

    hint = f"--config {TABLE}, with a [gate] table"
    path = Path(TABLE) if config is None else placed(config, "--config", hint)
    table: dict[str, Any] = {}
    if config is not None or path.is_file():
        found = read_toml(path, hint).get("gate", {})
        if not isinstance(found, dict):
            raise InputError(f"{path}: gate is no table", hint)
        if not found and config is not None:
            raise InputError(f"{path} has no [gate] table", hint)
        as_record(Gate, found, f"{path}: [gate]", hint)
        table = found
        if isinstance(table.get("baseline"), str):
            table["baseline"] = str(path.parent / table["baseline"])
    # An option is called as the setting is; a flag that wasn't typed leaves what the table says.
    given = {name: typed[name] for name in Gate.model_fields if typed.get(name) not in (None, False)}
    asked = {name: _number(value) for name, value in given.items()}
    if tolerate:
        asked["tolerate"] = {
            **table.get("tolerate", {}),
            **dict(parse_assignment(text, "--tolerate") for text in tolerate),
        }
    return as_record(Gate, {**table, **asked}, "gate", "compress gate --help")


def _number(typed: Any) -> Any:
    """What is typed as a plain number, as one: ``0.9``, and not ``2MB``."""
    if not isinstance(typed, str):
        return typed
    try:
        return float(typed)
    except ValueError:
        return typed


def _output(option: str, path: str | None) -> Path | None:
    from compressor.reading import placed

    if path is None:
        return None
    found = placed(path, option, f"{option} another file")
    if found.is_dir() or not found.parent.is_dir():
        reason = "is a folder" if found.is_dir() else f"there is no folder {found.parent}"
        raise InputError(f"{option} {path}: {reason}", f"{option} {found.name}.xml")
    return found


def _scored(subject: Subject, file: str, typed: dict[str, Any]) -> Subject:
    """With the score of a file on the data that was named, measured now."""
    from compressor.cli.measure import measured
    from compressor.gate import Score

    names = {name: typed[name] for name in ModelOptions.__dataclass_fields__ if name != "model"}
    options = ModelOptions(model=subject.file or file, **names)
    record, task = measured(options, subject.called.threads, subject.called.batch)
    if record.score is None:
        return subject
    better = task.higher_is_better
    score = Score(name=task.score_name, value=record.score, stderr=record.score_stderr, higher_is_better=better)
    return subject.model_copy(update={"score": score})


def _tell(checks: list[Check], subject: str, baseline: str, outputs: Outputs) -> None:
    from compressor.cli.printed import echo, echo_json
    from compressor.gate import annotations, as_json, junit, markdown, sentence

    if outputs.junit is not None:
        outputs.junit.write_text(junit(checks, subject), encoding="utf-8")
    if outputs.markdown is not None:
        outputs.markdown.write_text(markdown(checks, subject, baseline), encoding="utf-8")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in annotations(checks):
            echo(line, err=outputs.as_json)
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            with Path(summary).open("a", encoding="utf-8") as opened:
                opened.write(markdown(checks, subject, baseline))
    if outputs.as_json:
        echo_json(as_json(checks, subject, baseline))
        return
    for check in checks:
        mark = "ok    " if check.passed else "FAILED"
        echo(f"{mark}  {sentence(check)}")
    failed = sum(not check.passed for check in checks)
    echo(f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed")
