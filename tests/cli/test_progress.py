"""Progress where there is no terminal: a line an epoch, not a line a step."""

import pytest

from compressor.cli.progress import PlainDisplay, describe, duration
from compressor.context import Progress


def report(epoch: int, step: int, score: float | None) -> Progress:
    return Progress("distill", step, 10, epoch, 3, loss=0.5, score=score, samples_per_second=100, seconds_left=65)


def test_a_line_an_epoch_with_its_own_score(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainDisplay() as display:
        for epoch in (1, 2, 3):
            for step in range(1, 11):
                display(report(epoch, step, (epoch - 1) / 10 if epoch > 1 else None))
            display(report(epoch, 10, epoch / 10))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[1] == "distill  epoch 2/3  loss 0.5000  score 0.2000  100 samples/s  1:05 left"


def test_messages_show_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainDisplay() as display:
        display(report(1, 10, 0.9))
        display(Progress("prune", message="ratio 0.5: 1.2 MB"))
        assert capsys.readouterr().err.splitlines()[-1] == "prune  ratio 0.5: 1.2 MB"


def test_duration() -> None:
    assert [duration(s) for s in (5, 65, 3700)] == ["0:05", "1:05", "1:01:40"]
    assert describe(Progress("export")) == "export"
