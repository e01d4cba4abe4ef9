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


def test_vectors_agree_where_they_point_the_same_way() -> None:
    torch_outputs = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [1.0, 0.0]]], np.float32)
    # Turned by 0, 5, 10 and 180 degrees: cosines 1, 0.996, 0.985 and -1.
    turned = np.cos(np.radians([0, 5, 10, 180])), np.sin(np.radians([0, 5, 10, 180]))
    flat = torch_outputs.reshape(4, 2)
    rotated = np.stack(
        [turned[0] * flat[:, 0] - turned[1] * flat[:, 1], turned[1] * flat[:, 0] + turned[0] * flat[:, 1]], 1
    )
    found = parity(torch_outputs, rotated.reshape(2, 2, 2).astype(np.float32), answers="vectors")
    assert found.agreement == 0.5
    assert found.samples == 2
    assert found.max_abs_error == pytest.approx(2.0)
