"""The schedule's shape by hand, and who gets weight decay."""

import math

import pytest
from torch import nn

from compressor.training.optimizer import make_optimizer, make_schedule
from compressor.training.settings import TrainSettings


def rates(settings: TrainSettings, steps: int) -> list[float]:
    optimizer = make_optimizer(nn.Linear(2, 2), settings)
    schedule = make_schedule(optimizer, settings, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_cosine_falls_from_the_peak() -> None:
    found = rates(TrainSettings(lr=1.0, schedule="cosine"), 4)
    assert found == pytest.approx([1.0, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.5 * (1 + math.cos(3 * math.pi / 4))])


def test_one_cycle_rises_first() -> None:
    found = rates(TrainSettings(lr=1.0, schedule="one-cycle", warmup=0.4), 10)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[5:] == sorted(found[5:], reverse=True)
    assert found[-1] < 0.1


def test_a_single_step_trains() -> None:
    assert rates(TrainSettings(lr=1.0), 1) == [1.0]


def test_vectors_do_not_decay() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    groups = make_optimizer(module, TrainSettings(weight_decay=0.1)).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decay[id(module[0].weight)] == 0.1
    assert [decay[id(p)] for p in (module[0].bias, module[1].weight, module[1].bias)] == [0.0, 0.0, 0.0]
