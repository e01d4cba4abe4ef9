"""Against values by hand and loops in numpy."""

import numpy as np
import pytest
import torch

from compressor.distill.losses import attention_matrices, attention_transfer


def test_attention_transfer_by_hand() -> None:
    # Maps (3, 4) / 5 and (1, 0): differences -.4 and .8.
    student = torch.tensor([3.0, 4.0]).sqrt().reshape(1, 1, 1, 2)
    teacher = torch.tensor([7.0, 0.0]).reshape(1, 1, 1, 2)
    assert float(attention_transfer(student, teacher)) == pytest.approx(0.4**2 + 0.8**2, rel=1e-5)


def test_attention_transfer_against_loops() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(3, 2, 4, 4)), rng.normal(size=(3, 5, 4, 4))
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        q, p = (sum(channel.ravel() ** 2 for channel in sample) for sample in (s, t))
        total += ((q / np.linalg.norm(q) - p / np.linalg.norm(p)) ** 2).sum()
    assert float(attention_transfer(torch.tensor(student), torch.tensor(teacher))) == pytest.approx(total / 3, rel=1e-5)


def test_attention_transfer_is_blind_to_scale() -> None:
    features = torch.rand(2, 3, 4, 4)
    assert float(attention_transfer(features, 100 * features)) < 1e-10


def test_attention_matrices_leave_padding_out_and_average_heads() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 2, 3, 3)), rng.normal(size=(2, 4, 3, 3))
    teacher[1, :, 2, :] = teacher[1, :, :, 2] = student[1, :, 2, :] = student[1, :, :, 2] = -np.inf
    errors = []
    for sample, tokens in ((0, 3), (1, 2)):
        for row in range(tokens):
            for column in range(tokens):
                s, t = student[sample, :, row, column].mean(), teacher[sample, :, row, column].mean()
                errors.append((s - t) ** 2)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    found = attention_matrices(torch.tensor(student), torch.tensor(teacher), mask)
    assert float(found) == pytest.approx(np.mean(errors), rel=1e-5)
