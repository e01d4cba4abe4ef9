"""Against values by hand and numpy."""

import numpy as np
import pytest
import torch

from compressor.distill.losses import cosine, hidden_states, hint


def test_hint_by_hand() -> None:
    student = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert float(hint(student, torch.zeros(1, 1, 2, 2))) == pytest.approx((1 + 4 + 9 + 16) / 4)
    # The teacher's map has one place: the student's mean is compared with it.
    assert float(hint(student, torch.full((1, 1, 1, 1), 2.0))) == pytest.approx(0.25)


def test_hint_wants_a_regressor_where_widths_differ() -> None:
    with pytest.raises(ValueError, match="regressor"):
        hint(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4))


def test_hidden_states_leave_padding_out() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5))
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)
    wanted = ((student - teacher)[mask] ** 2).mean()
    found = hidden_states(torch.tensor(student), torch.tensor(teacher), torch.tensor(mask))
    assert float(found) == pytest.approx(wanted, rel=1e-5)
    assert float(hidden_states(torch.ones(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(1, 2))) == 0


def test_cosine_by_hand() -> None:
    # 0 degrees and another length, 60, 90 and 180 degrees.
    student = torch.tensor([[2.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    teacher = torch.tensor([[1.0, 0.0], [0.5, 3**0.5 / 2], [0.0, 4.0], [-1.0, 0.0]])
    assert float(cosine(student, teacher)) == pytest.approx((0 + 0.5 + 1 + 2) / 4)
