"""The published contracts: what the package itself has keeps them, and what breaks them is caught."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from compressor.data import Data, Normalise, TensorSplit
from compressor.distill import kd_kl
from compressor.tasks import make_task
from compressor.testing import LossContract, TaskContract


class TestKdKl(LossContract):
    loss: Callable[..., Any] = kd_kl


class TestImageClassification(TaskContract):
    task = make_task("image-classification")

    def module(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 3))

    def data(self) -> Data:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (12, 1, 8, 8), generator=generator, dtype=torch.uint8)
        split = TensorSplit(images, torch.arange(12) % 3)
        return Data("here", split, split, split, ("a", "b", "c"), "f", Normalise((0.5,), (0.25,)))


def summed(student: Tensor, teacher: Tensor) -> Tensor:
    return (student - teacher.detach()).square().sum()


def teaching_back(student: Tensor, teacher: Tensor) -> Tensor:
    return (student - teacher).square().mean()


@pytest.mark.parametrize(
    ("broken", "test"),
    [(summed, "test_is_a_mean_over_samples"), (teaching_back, "test_gradient_reaches_the_student_alone")],
)
def test_a_loss_that_breaks_the_contract_is_caught(broken: Callable[..., Any], test: str) -> None:
    contract = type("Broken", (LossContract,), {"loss": broken})()
    with pytest.raises(AssertionError):
        getattr(contract, test)()
