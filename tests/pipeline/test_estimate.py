"""What a run will take, from steps of the networks that the rehearsal made."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from compressor.memory import peak_memory
from compressor.pipeline import Job
from compressor.pipeline.estimate import Saved, estimate
from compressor.pipeline.job import prepared
from compressor.pipeline.rehearsal import rehearse

MakeJob = Callable[..., Job]


def test_more_seeds_and_epochs_take_longer(make_job: MakeJob) -> None:
    job = prepared(make_job())
    rehearsed = rehearse(job)
    start = time.process_time()
    seconds, memory = estimate(job, rehearsed)
    assert time.process_time() - start < 20
    assert memory >= peak_memory() - 1e9 and seconds > 6
    twice, _ = estimate(replace(job, seeds=2), rehearsed)
    assert 1.5 < twice / seconds < 2.5


def test_what_the_graph_keeps_is_counted_a_sample() -> None:
    module = nn.Sequential(nn.Linear(100, 50), nn.Sigmoid(), nn.Linear(50, 10))
    saved = Saved(module)
    with saved.watching(4):
        loss = module(torch.randn(4, 100)).sum()
    loss.backward()
    # The input and what Sigmoid gives; weights are none of a sample's.
    assert saved.a_sample == pytest.approx(4 * (100 + 50))
    assert saved.largest == pytest.approx(400)
