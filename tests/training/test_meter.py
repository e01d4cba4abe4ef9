"""Means of losses are the same whether they are read at once or when a report is due; a bad one names its step."""

from dataclasses import replace
from pathlib import Path

import pytest
import small
import torch

from compressor.context import Progress
from compressor.training import Loss, TrainSettings, meter
from compressor.training.meter import Meter, NotFiniteError


def begun(folder: Path, said: list[Progress] | None = None) -> Meter:
    ctx = replace(small.small_context(folder), progress=(said if said is not None else []).append)
    counted = Meter(ctx, "train", TrainSettings(epochs=1), 4, 256)
    counted.start_epoch(0)
    return counted


def step(value: float) -> Loss:
    return Loss(torch.tensor(value), {"labels": torch.tensor([2 * value])})


@pytest.mark.parametrize("late", [False, True])
def test_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    monkeypatch.setattr(meter, "reads_at_once", lambda device: not late)
    said: list[Progress] = []
    counted = begun(tmp_path, said)
    for value in (1.0, 2.0, 6.0):
        counted.count(step(value))
    counted.read()
    counted.end_epoch(0.5)
    row = counted.row(0.5)
    assert (row["loss"], row["labels"], row["score"]) == (3.0, 6.0, 0.5)
    assert [event.loss for event in said] == [3.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_bad_loss_is_found_at_the_next_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float) -> None:
    with pytest.raises(NotFiniteError) as at_once:
        begun(tmp_path).count(step(bad))
    assert at_once.value.step == 0
    monkeypatch.setattr(meter, "reads_at_once", lambda device: False)
    counted = begun(tmp_path)
    counted.count(step(1.0))
    counted.read()
    for value in (1.0, bad, 3.0):
        counted.count(step(value))
    with pytest.raises(NotFiniteError) as late:
        counted.read()
    assert late.value.step == 2
    assert "labels" in late.value.terms


def test_a_due_report_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "reads_at_once", lambda device: False)
    monkeypatch.setattr(meter, "REPORT_SECONDS", 0.0)
    said: list[Progress] = []
    begun(tmp_path, said).count(step(4.0))
    assert said[0].loss == 4.0
