"""Gradient norms against autograd by hand, and the alarm at every way to be silent."""

import pytest
import torch
from torch import Tensor, nn

from compressor.errors import StageError
from compressor.training.objective import LOOKED_AT, Loss, SilenceAlarm, gradient_norms


def test_norms_are_weighted_and_leave_the_graph() -> None:
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0]]))
    output = layer(torch.tensor([[3.0, 4.0]])).sum()
    loss = Loss(output, {"plain": output, "half": output, "none": torch.ones(())}, {"half": 0.5})
    norms = gradient_norms(loss, layer.parameters())
    assert norms == pytest.approx({"plain": 5.0, "half": 2.5, "none": 0.0})
    output.backward()
    assert layer.weight.grad is not None


def look(layer: nn.Module, terms: list[dict[str, Tensor]]) -> SilenceAlarm:
    alarm = SilenceAlarm("distill")
    for step in terms:
        assert alarm.listening
        alarm.look(Loss(sum(step.values(), start=torch.zeros(())), step), layer)
    return alarm


def test_one_silent_step_is_innocent() -> None:
    layer = nn.Linear(2, 1)
    heard = layer(torch.ones(1, 2)).sum()
    silent = {"labels": heard, "kd": heard * 0}
    alarm = look(layer, [silent, {"labels": heard, "kd": heard}, silent])
    assert not alarm.listening


@pytest.mark.parametrize("why", ["detached", "zero", "frozen"])
def test_a_term_that_does_nothing_stops_the_run_with_the_reason(why: str) -> None:
    layer = nn.Linear(2, 1)
    output = layer(torch.ones(1, 2)).sum()
    term = {"detached": output.detach(), "zero": output * 0, "frozen": output.detach()}[why]
    if why == "frozen":
        layer.requires_grad_(False)
    reason = {"detached": "detached on the way", "zero": "zero everywhere", "frozen": "every layer .* is frozen"}[why]
    with pytest.raises(StageError, match=reason) as caught:
        look(layer, [{"labels": output, "kd": term}] * LOOKED_AT)
    assert "'kd'" in str(caught.value) or why == "frozen"
    assert "kd.terms" in caught.value.hint
