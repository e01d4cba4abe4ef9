"""Grids by formula, gradients by hand."""

import pytest
import torch

from compressor.quantize.fake_quant import (
    ActivationQuantizer,
    SharedQuantizer,
    WeightQuantizer,
    asymmetric_parameters,
    limits_of,
    symmetric_scale,
)


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        (0.0, 2.55, 0.01, 0),
        (-1.0, 1.55, 0.01, 100),
        (-2.55, 0.0, 0.01, 255),
        (1.0, 2.55, 0.01, 0),  # widened to contain 0
        (-2.55, -1.0, 0.01, 255),
    ],
)
def test_asymmetric_grid(low: float, high: float, scale: float, zero_point: int) -> None:
    found, at = asymmetric_parameters(torch.tensor(low), torch.tensor(high))
    assert float(found) == pytest.approx(scale, rel=1e-6)
    assert float(at) == zero_point


@pytest.mark.parametrize("bound", [6.0, 1.0, 5.9999995, 0.3, 7.3])
def test_the_grid_after_a_bounded_relu_stays_within_the_bound(bound: float) -> None:
    scale, zero_point = asymmetric_parameters(torch.tensor(0.0), torch.tensor(bound))
    assert zero_point == 0
    assert scale * 255 <= torch.tensor(bound)
    assert float(scale * 255) == pytest.approx(bound, rel=1e-6)


def test_an_empty_range_gives_a_usable_scale() -> None:
    scale, zero_point = asymmetric_parameters(torch.tensor(0.0), torch.tensor(0.0))
    assert scale > 0
    assert zero_point == 0


def test_symmetric_scale() -> None:
    assert float(symmetric_scale(torch.tensor(1.27))) == pytest.approx(0.01)
    tiny = symmetric_scale(torch.tensor(1e-6), half=True)
    assert float(tiny) == 2.0**-14
    odd = symmetric_scale(torch.tensor(1.0), half=True)
    assert odd == odd.half().float()
    assert float(odd) == pytest.approx(1 / 127, rel=2**-10)


def test_limits() -> None:
    assert limits_of(torch.uint8) == (0, 255)
    assert limits_of(torch.int8) == (-128, 127)


def test_values_are_rounded_and_clipped() -> None:
    quantizer = ActivationQuantizer(torch.uint8)
    quantizer.set_range(-1.0, 1.55)
    found = quantizer(torch.tensor([-5.0, -1.0, 0.0, 0.014, 0.016, 1.55, 9.0]))
    assert torch.allclose(found, torch.tensor([-1.0, -1.0, 0.0, 0.01, 0.02, 1.55, 1.55]), atol=1e-6)


def test_int8_has_no_zero_point() -> None:
    quantizer = ActivationQuantizer(torch.int8)
    quantizer.set_range(-0.5, 1.27)
    assert quantizer.zero_point == 0
    assert torch.allclose(quantizer(torch.tensor([-9.0, -0.5, 0.014])), torch.tensor([-1.28, -0.5, 0.01]), atol=1e-6)


def test_the_gradient_passes_inside_and_stops_outside() -> None:
    quantizer = ActivationQuantizer(torch.uint8)
    quantizer.set_range(-1.0, 1.55)
    x = torch.tensor([-1.2, -0.5, 0.0, 1.5, 1.7], requires_grad=True)
    (quantizer(x) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 2.0, 3.0, 4.0, 0.0]


def test_weights_have_a_scale_a_channel() -> None:
    quantizer = WeightQuantizer(2)
    weight = torch.tensor([[1.27, -0.014], [0.5, -2.54]], requires_grad=True)
    quantizer.train()
    found = quantizer(weight)
    assert torch.allclose(quantizer.scale, torch.tensor([0.01, 0.02]))
    assert torch.allclose(found, torch.tensor([[1.27, -0.01], [0.5, -2.54]]), atol=1e-6)
    found.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_weight_scales_follow_in_training_and_stay_in_eval() -> None:
    quantizer = WeightQuantizer(1)
    quantizer.train()(torch.tensor([[1.27]]))
    quantizer.eval()(torch.tensor([[2.54]]))
    assert float(quantizer.scale) == pytest.approx(0.01)
    quantizer.train()(torch.tensor([[2.54]]))
    assert float(quantizer.scale) == pytest.approx(0.02)


def test_bf16_goes_in_and_out_but_the_grid_is_float32() -> None:
    quantizer = ActivationQuantizer(torch.uint8)
    quantizer.set_range(0.0, 2.55)
    x = torch.rand(1000).to(torch.bfloat16) * 2
    with torch.autocast("cpu", torch.bfloat16):
        found = quantizer(x)
        weight = WeightQuantizer(4)(torch.randn(4, 3))
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, quantizer(x.float()).to(torch.bfloat16))
    assert weight.dtype == torch.float32


def test_switched_off_it_changes_nothing() -> None:
    quantizer = ActivationQuantizer(torch.uint8)
    quantizer.enabled = False
    x = torch.randn(5)
    assert torch.equal(quantizer(x), x)


def test_a_shared_grid_is_the_sources() -> None:
    source = ActivationQuantizer(torch.uint8)
    source.set_range(0.0, 2.55)
    x = torch.tensor([0.014, 3.0])
    assert torch.equal(SharedQuantizer(source, rounds=True)(x), source(x))
    assert torch.equal(SharedQuantizer(source, rounds=False)(x), x)
    assert not SharedQuantizer(source, rounds=True).state_dict()


def test_a_scale_of_four_bits_loses_least() -> None:
    weight = torch.randn(3, 200)
    weight[0, 0] = 9.0
    quantizer = WeightQuantizer(3, bits=4)
    quantizer.fit_to(weight)
    for channel, scale in zip(weight, quantizer.scale, strict=True):
        tried = channel.abs().max() / 7 * torch.linspace(0.4, 1, 13)
        errors = [((channel / one).round().clamp(-7, 7) * one - channel).square().sum() for one in tried]
        assert float(scale) == pytest.approx(float(tried[int(torch.stack(errors).argmin())]))
    # One value far out is clipped; even ones reach the largest.
    assert 7 * quantizer.scale[0] < 9
    quantizer.fit_to(torch.tensor([[-7.0, 7.0], [3.5, 0.5], [0.7, 0.1]]))
    assert torch.allclose(quantizer.scale, torch.tensor([1.0, 0.5, 0.1]))
    # 9.0 is far beyond the range of this scale, and goes to its end.
    assert quantizer(weight)[0].max() == 7
    assert all(len(row.unique()) <= 15 for row in quantizer(weight))


def test_scales_of_four_bits_change_by_fitting_alone() -> None:
    quantizer = WeightQuantizer(1, bits=4)
    quantizer.fit_to(torch.tensor([[0.7, -0.2]]))
    quantizer.train()(torch.tensor([[1.4, -0.2]]))
    assert float(quantizer.scale) == pytest.approx(0.1)
