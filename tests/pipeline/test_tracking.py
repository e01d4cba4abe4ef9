"""Runs as their trackers hold them: read back with the trackers' own readers."""

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compressor import pipeline
from compressor.context import Progress
from compressor.errors import MissingError
from compressor.export.stage import Export
from compressor.pipeline import Job
from compressor.pipeline.lineage import damage, read_lineage
from compressor.pipeline.tracking import numbers_of
from compressor.prune.stage import Prune
from compressor.report import Report
from compressor.training import TrainSettings

MakeJob = Callable[..., Job]
EPOCHS = 3


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    """Two stages, the first of which trains for some epochs."""
    made = make_job()
    train = TrainSettings(epochs=EPOCHS, batch_size=64, precision="fp32", crop=0)
    return replace(made, profile=replace(made.profile, stages=(Prune(ratio=0.5, train=train), Export())))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an MLflow store in a database, which is what the environment names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    # Its tables are set up once a process, whichever test comes first, and its own code warns then.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        return mlflow.MlflowClient()


def stopping_in(epoch: int) -> Callable[[Progress], None]:
    """A display that is interrupted in an epoch, after the first one ended."""

    def show(event: Progress) -> None:
        if event.epoch == epoch:
            raise KeyboardInterrupt

    return show


def runs_of(client: Any) -> list[Any]:
    experiments = [one.experiment_id for one in client.search_experiments() if one.name == "compressor"]
    return list(client.search_runs(experiments)) if experiments else []


def check_mlflow(client: Any, report: Report, out: Path) -> None:
    """One run that holds all of a report, each step once."""
    (run,) = runs_of(client)
    assert run.info.status == "FINISHED" and run.info.run_name == out.name
    parameters = run.data.params
    assert parameters["profile"] == "test" and parameters["target.runtime"] == "onnxruntime"
    assert parameters["01-prune.ratio"] == "0.5" and parameters["01-prune.train.epochs"] == str(EPOCHS)
    assert parameters["model.sha256"] == report.model["sha256"]
    assert parameters["data.fingerprint"] == report.data["fingerprint"]
    assert parameters["versions.torch"] == report.environment["packages"]["torch"]
    for name in ("loss", "validation_score"):
        history = client.get_metric_history(run.info.run_id, f"01-prune/recover/{name}")
        assert [point.step for point in history] == list(range(1, EPOCHS + 1))
    for record in report.stages:
        for name, value in numbers_of(record).items():
            assert run.data.metrics[f"{record.name}/{name}"] == pytest.approx(value)
    assert run.data.metrics["final/times_size"] == pytest.approx(report.ratios.size)
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"report.json", "report.html", "lineage.json", "02-export"} <= kept
    deeper = {file.path for file in client.list_artifacts(run.info.run_id, "02-export")}
    assert deeper == {"02-export/model.onnx", "02-export/README.md"}


def check_tensorboard(report: Report, out: Path) -> None:
    (folder,) = (out / "tensorboard").iterdir()
    read = EventAccumulator(str(folder))
    read.Reload()
    assert [one.step for one in read.Scalars("01-prune/recover/loss")] == list(range(1, EPOCHS + 1))
    (score,) = read.Scalars("02-export/score")
    assert score.value == pytest.approx(report.stages[-1].score)
    assert read.Scalars("final/score")[0].value == score.value
    assert {"parameters/text_summary", "summary/text_summary", "_hparams_/session_start_info"} <= {
        *read.Tags()["tensors"],
        *read.PluginTagToContent("hparams"),
    }


@pytest.mark.filterwarnings("ignore")  # of the trackers' own code
def test_an_interrupted_run_goes_on_where_it_is_tracked(job: Job, store: Any) -> None:
    job = replace(job, track=("tensorboard", "mlflow"))
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(job, stopping_in(2))
    assert [run.info.status for run in runs_of(store)] == ["KILLED"]
    report = pipeline.run(job)
    assert report.notes == []
    check_mlflow(store, report, job.out)
    check_tensorboard(report, job.out)
    # What trackers keep in the folder is no part of what is verified, and grows.
    assert damage(job.out) == []
    assert not any("track" in name or "tensorboard" in name for name in read_lineage(job.out).files)
    # From cache nothing is logged, not even that the run was opened.
    (before,), files = runs_of(store), sorted(job.out.rglob("*"))
    pipeline.run(job)
    assert sorted(job.out.rglob("*")) == files
    (after,) = runs_of(store)
    assert (after.info.end_time, after.data.metrics) == (before.info.end_time, before.data.metrics)
    # With another setting it is another run.
    pipeline.run(replace(job, stop_before="export"))
    assert len(runs_of(store)) == 2
    assert sorted(path.name for path in (job.out / "tensorboard").iterdir()) == ["1", "2"]


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_not_there_ends_the_run_before_anything_is_trained(
    job: Job, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(MissingError, match=r"http://me:\*\*\*@127.0.0.1:9 can't be reached"):
        pipeline.run(replace(job, track=("tensorboard", "mlflow")))
    assert not job.out.exists()


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """An MLflow server: its address, and what ends it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "kept")]
    # Without what it would do beside keeping runs.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **settings}, cwd=folder, start_new_session=True
        )

    def end() -> None:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    try:
        for _ in range(600):
            assert server.poll() is None, (folder / "server.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}", end
    finally:
        end()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_server_holds_the_run_and_may_go_away(
    job: Job, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    with served(tmp_path) as (address, end):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("//", "//me:secret@"))
        client = mlflow.MlflowClient()
        job = replace(job, track=("mlflow",))
        report = pipeline.run(job)
        check_mlflow(client, report, job.out)

        def gone(event: Progress) -> None:
            if event.epoch == 2:
                end()
                times.append(time.monotonic())
            if event.what == "tracking":
                times.append(time.monotonic())
            said.append(event.message)

        said: list[str] = []
        times: list[float] = []
        other = replace(job, seed=1, out=tmp_path / "other")
        unfollowed = pipeline.run(replace(other, track=(), out=tmp_path / "alone"))
        report = pipeline.run(other, gone)
        assert times[1] - times[0] < 30
    assert [one.score for one in report.stages] == [one.score for one in unfollowed.stages]
    (note,) = report.notes
    assert "tracking with mlflow (http://me:***@127.0.0.1" in note and "ended before the run did" in note
    assert sum(note in message for message in said) == 1
    assert all(b"secret" not in path.read_bytes() for path in (tmp_path / "other").rglob("*") if path.is_file())


def logged(content: bytes) -> Iterator[bytes]:
    """The records of a W&B file: LevelDB's log of blocks of 32 KiB, after 7 bytes of its own."""
    at, block, parts = 7, 32 * 1024, b""
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield parts
            parts = b""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_without_a_network(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    pipeline.run(replace(job, track=("wandb",)))
    (path,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    steps: dict[str, list[str]] = {}
    kinds = set()
    for data in logged(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        kinds.add(record.WhichOneof("record_type"))
        for item in record.history.item:
            steps.setdefault("/".join(item.nested_key) or item.key, []).append(item.value_json)
    assert len(steps["01-prune/recover/loss"]) == EPOCHS
    assert [int(step) for step in steps["01-prune/recover/step"]] == list(range(1, EPOCHS + 1))
    assert "02-export/score" in steps
    assert {"config", "artifact", "summary", "exit"} <= kinds


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trackio_on_this_machine(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    report = pipeline.run(replace(job, track=("trackio",)))
    (run,) = trackio.Api().runs("compressor")
    assert run.config["01-prune.ratio"] == "0.5"
    rows = SQLiteStorage.get_logs("compressor", run.name)
    losses = [row["01-prune/recover/loss"] for row in rows if "01-prune/recover/loss" in row]
    assert len(losses) == EPOCHS
    assert any(row.get("02-export/score") == pytest.approx(report.stages[-1].score) for row in rows)
