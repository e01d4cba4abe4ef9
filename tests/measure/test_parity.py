import numpy as np
import pytest

from compressor.measure import parity


def test_by_hand() -> None:
    torch_outputs = np.array([[1.0, 3.0], [4.0, 0.0], [2.0, 2.5], [0.0, -1.0]], np.float32)
    runtime_outputs = np.array([[1.0, 2.0], [4.0, 0.5], [2.5, 2.0], [0.0, -1.0]], np.float32)
    found = parity(torch_outputs, runtime_outputs)
    assert found.max_abs_error == 1.0
    assert found.mean_abs_error == (1 + 0.5 + 0.5 + 0.5) / 8
    assert found.agreement == 0.75
    assert found.samples == 4
    # mean 11.5 / 8, squares 1 + 9 + 16 + 4 + 6.25 + 1
    assert found.logit_std == pytest.approx(np.sqrt(37.25 / 8 - (11.5 / 8) ** 2))
