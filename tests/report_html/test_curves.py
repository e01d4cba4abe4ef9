"""Curves of trainings: a line each, in the order of the stages."""

import re

import reports

from compressor.report import Report
from compressor.report_html.curves import training_curves


def trained(*lengths: int) -> Report:
    """A run whose stages after the reference trained for so many epochs."""
    report = reports.full_report()
    stages = list(report.stages)
    for place, length in enumerate(lengths, 1):
        history = [{"loss": 1 / (epoch + 1), "score": 0.5 + epoch / 100} for epoch in range(length)]
        stages[place] = stages[place].model_copy(update={"metrics": {"history": history}, "name": f"<{place}>"})
    return report.model_copy(update={"stages": stages})


def test_a_line_for_each_training_from_left_to_right() -> None:
    score, loss = training_curves(trained(3, 4))
    for drawn in (score, loss):
        lines = re.findall(r'class="curve" points="([^"]+)"', drawn)
        assert [len(line.split()) for line in lines] == [3, 4]
        across = [float(pair.split(",")[0]) for line in lines for pair in line.split()]
        assert across == sorted(across) and len(set(across)) == 7
    assert "&lt;1&gt;, epoch 2: 0.5100" in score and "<1>" not in score
    assert 'text-anchor="middle">7<' in score or 'text-anchor="middle">6<' in score


def test_without_training_there_is_none() -> None:
    assert training_curves(trained()) == []
    assert training_curves(trained(1)) == []
    # Histories of other releases, or of plug-ins, may lack figures.
    report = trained(2)
    odd = report.stages[1].model_copy(update={"metrics": {"history": [{"loss": None}, "what", {"score": "x"}]}})
    assert training_curves(report.model_copy(update={"stages": [report.stages[0], odd]})) == []
