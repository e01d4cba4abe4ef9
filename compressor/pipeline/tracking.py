"""What of a run goes to experiment trackers, and under which names."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressor.context import Progress, ShowProgress
from compressor.digests import module_digest
from compressor.passwords import masked
from compressor.pipeline.environment import describe_environment
from compressor.pipeline.folder import PAGE
from compressor.pipeline.job import Job
from compressor.pipeline.lineage import NAME as LINEAGE
from compressor.pipeline.model_card import CARD
from compressor.pipeline.search import Searched
from compressor.report import REPORT, Latency, Report, StageRecord
from compressor.training.tracking import Tracking, tracking

# Some servers refuse longer ones.
LONGEST_VALUE = 500
STAGE = re.compile(r"\d\d-")


@dataclass(frozen=True)
class Tracked:
    """One job's trackers, as the run of one of its seeds sees them.

    Args:
        log: Where everything goes.
        prefix: Before every name: ``"seed-1/"`` of one of several seeds.
    """

    log: Tracking
    prefix: str = ""

    def of_seed(self, folder: str) -> "Tracked":
        """The same, for one of several seeds."""
        return Tracked(self.log, f"{folder}/")

    @property
    def notes(self) -> list[str]:
        """For the report: which trackers failed, and why."""
        return self.log.notes

    def follow(self, progress: ShowProgress, arm: str = "") -> ShowProgress:
        """Reports with every epoch logged: of a stage under its name, of a search's trainings under ``search/``.

        Args:
            progress: Where reports go.
            arm: ``"control/"`` for what is done once more.
        """
        stages = self.log.follow(progress, self.prefix + arm)
        searched = self.log.follow(progress, f"{self.prefix}{arm}search/")

        def show(event: Progress) -> None:
            (stages if STAGE.match(event.what) else searched)(event)

        return show

    def measured(self, records: Sequence[StageRecord], searched: Searched, arm: str = "") -> None:
        """Log what was measured and isn't logged yet: stages, and a search's files one after another."""
        for place, record in enumerate(records, 1):
            self.log.log(f"{self.prefix}{arm}{record.name}", numbers_of(record), place)
        points = searched.report.front if searched.report else []
        for step, point in enumerate(points, 1):
            values = {"score": point.score, "score_drop": point.score_drop, "size_bytes": point.size_bytes}
            if point.latency_ms is not None:
                values["latency_ms_p50"] = point.latency_ms
            self.log.log(f"{self.prefix}search/file", values, step)

    def finish(self, report: Report, out: Path) -> None:
        """Log what the run came to, and its files."""
        made = [artifact.path for artifact in report.artifacts[-1:]]
        beside = [(Path(path).parent / CARD).as_posix() for path in made]
        names = (REPORT, PAGE, LINEAGE, *made, *beside)
        files = {name: out / name for name in names if (out / name).is_file()}
        self.log.finish(_results(report), _table(report), files)


@contextmanager
def tracked(job: Job, progress: ShowProgress) -> Iterator[Tracked]:
    """Open the trackers that a job asks for; what can't be reached is said before anything is trained.

    Args:
        job: Prepared.
        progress: Where it is said that a tracker failed.

    Raises:
        InputError: There is no such tracker, or it can't be used as it is set up.
        MissingError: A package or a server isn't there.
    """
    asked, made_on = (parameters_of(job), machine_of(job)) if job.track else ({}, {})
    with tracking(job.track, job.out, asked, progress, made_on=made_on, device=job.device, fresh=job.fresh) as log:
        yield Tracked(log)


def parameters_of(job: Job) -> dict[str, str]:
    """What a run was asked for, by dotted names; long values are cut."""
    asked = {
        "profile": job.profile.name,
        "target": job.profile.target.model_dump(mode="json", exclude_none=True),
        "budget": job.profile.budget.model_dump(mode="json", exclude_none=True),
        "model": job.model.info.source,
        "model.sha256": job.model.info.sha256 or module_digest(job.model.module),
        "teachers": len(job.all_teachers),
        "data": job.data.source,
        "data.fingerprint": job.data.fingerprint,
        "task": job.task.name,
        "score": job.task.score_name,
        "seed": job.seed,
        "seeds": job.seeds,
        "quick": job.quick,
        "trials": job.trials,
    }
    stages = {
        f"{place:02d}-{stage.kind}": stage.model_dump(mode="json", exclude_none=True)
        for place, stage in enumerate(job.stages, 1)
    }
    return _texts({**asked, **stages})


def machine_of(job: Job) -> dict[str, str]:
    """What a run is made on: versions, device, threads."""
    found = describe_environment(job.device)
    named = {"threads": found["threads"], "device": found["device"], "commit": found["git"]}
    return _texts({**named, "versions": {"python": found["python"], **found["packages"]}})


def numbers_of(record: StageRecord) -> dict[str, float]:
    """What was measured of a stage; what wasn't is left out."""
    latency = record.latency_ms or Latency(p50=None, runtime="")
    values: dict[str, float | None] = {
        "score": record.score,
        "score_stderr": record.score_stderr,
        "score_drop": record.score_drop,
        "size_bytes": record.size_bytes,
        "params": record.params,
        "macs": record.macs,
        "latency_ms_p50": latency.p50,
        "times_faster_low": latency.faster_low,
        "times_faster_high": latency.faster_high,
        "seconds": record.seconds,
        **record.scores,
    }
    if latency.p50 and latency.reference_p50:
        values["times_faster"] = latency.reference_p50 / latency.p50
    return {name: float(value) for name, value in values.items() if value is not None}


def _results(report: Report) -> dict[str, float]:
    last = numbers_of(report.stages[-1])
    ratios = {f"times_{name}": value for name, value in report.ratios.model_dump().items() if name != "score_drop"}
    gained = {f"{one.name}_gained_by_distilling": one.kd.difference for one in report.stages if one.kd}
    met = {f"met_{check.name}": check.met for check in report.budget}
    every = {**last, **ratios, **gained, **met}
    return {name: float(value) for name, value in every.items() if value is not None and name != "seconds"}


def _table(report: Report) -> str:
    """Every stage a row, in Markdown."""
    names = ("score", "score_drop", "size_bytes", "params", "macs", "latency_ms_p50", "times_faster")
    rows = [f"| stage | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for record in report.stages:
        values = numbers_of(record)
        rows.append(f"| {record.name} | {' | '.join(f'{values[n]:.6g}' if n in values else '' for n in names)} |")
    return "\n".join([f"{report.status}, {report.score.name} on {report.score.split}", "", *rows])


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {name: masked(text)[:LONGEST_VALUE] for name, text in _flat(values) if text}


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value if isinstance(value, str) else json.dumps(value)
