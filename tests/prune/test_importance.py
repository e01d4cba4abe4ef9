"""Rankings by hand: gammas, gradients, and the random control."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from torch import nn
from torch.nn import functional

from compressor.context import Teacher
from compressor.distill import KdSettings, kd_kl
from compressor.errors import PlanError
from compressor.prune import prune_channels
from compressor.prune.channels import coupled_layers
from compressor.prune.importance import (
    Importance,
    accumulate_gradients,
    accumulate_squares,
    estimate_diagonal,
    importance_of,
    lamp,
    measure_gradients,
)

IMAGES = (torch.randn(2, 1, 8, 8),)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 4)
    )


def test_smallest_gammas_go() -> None:
    module = network()
    gammas = torch.arange(1.0, 17.0)[torch.randperm(16)]
    with torch.no_grad():
        module[1].weight.copy_(gammas)
    prune_channels(module, IMAGES, 0.5, importance="bn-scale")
    assert sorted(module[1].weight.tolist()) == [float(value) for value in range(9, 17)]


def test_random_follows_its_seed() -> None:
    def left(seed: int) -> torch.Tensor:
        module = network()
        prune_channels(module, IMAGES, 0.5, importance="random", seed=seed)
        return module[0].weight

    assert torch.equal(left(1), left(1))
    assert not torch.equal(left(1), left(2))


def test_taylor_keeps_what_the_loss_feels() -> None:
    module = network()
    with torch.no_grad():
        module[4].weight.view(4, 16, 36)[:, 8:] = 0  # the last eight channels reach no output
    module.zero_grad()
    functional.cross_entropy(module.eval()(torch.randn(8, 1, 8, 8)), torch.arange(8) % 4).backward()
    kept = module[0].weight[:8].detach().clone()
    prune_channels(module, IMAGES, 0.5, importance="taylor")
    assert torch.equal(module[0].weight, kept)


def test_gradients_are_summed_over_batches(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    module = small.small_model().module.train()
    accumulate_gradients(module, ctx, batches=2)
    found = module.conv1.weight.grad.clone()
    module.zero_grad()
    module.eval()
    batches = [batch for batch, _ in zip(ctx.data.training_batches(64, ctx.seed, epoch=0), range(2), strict=False)]
    sum(functional.cross_entropy(module(*b.inputs), b.labels) for b in batches).backward()
    torch.testing.assert_close(found, module.conv1.weight.grad)


class Weights(nn.Module):
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values))


def test_fisher_is_squared_gradients_times_squared_weights() -> None:
    module = Weights(1.0, 2.0, 3.0)
    # Two batches: gradients (1, 0, 2) and (-1, 1, 0), squares together (2, 1, 4).
    batches = (torch.tensor([1.0, 0.0, 2.0]), torch.tensor([-1.0, 1.0, 0.0]))
    accumulate_squares(module, (batch @ module.w for batch in batches))
    assert importance_of(module.w, "fisher").tolist() == [2.0, 4.0, 36.0]


def test_hessian_is_half_the_curvature_times_squared_weights() -> None:
    module = Weights(1.0, 2.0, 3.0)
    # a * w**2 + 5 * w has the curvature 2 * a.
    curvatures = (torch.tensor([1.0, 0.0, -1.0]), torch.tensor([1.0, 0.0, -3.0]))
    estimate_diagonal(module, ((a * module.w.square() + 5 * module.w).sum() for a in curvatures))
    assert module.w.grad.tolist() == [4.0, 0.0, -8.0]
    # Without its curvature the loss of both batches changes by a * w**2.
    assert importance_of(module.w, "hessian").tolist() == [2.0, 0.0, 36.0]


def test_the_hessian_of_a_loss_that_is_linear_is_nothing() -> None:
    module = Weights(1.0, 2.0)
    estimate_diagonal(module, iter([module.w.sum()]))
    assert module.w.grad is None


def test_the_hessian_of_coupled_weights_is_its_diagonal_on_average() -> None:
    module = Weights(1.0, 1.0)
    # (w1 + 2 * w2)**2 has 2 and 8 on the diagonal, and 4 beside it.
    estimate_diagonal(module, ((module.w @ torch.tensor([1.0, 2.0])) ** 2 for _ in range(4000)), seed=1)
    torch.testing.assert_close(module.w.grad / 4000, torch.tensor([2.0, 8.0]), atol=0.2, rtol=0)


def test_what_has_no_second_derivative_is_said() -> None:
    module = Weights(1.0, 2.0, 3.0, 4.0)
    read = module.w.view(1, 1, 2, 2)
    # torch's fused attention has a gradient, and none of that gradient.
    fused, *_ = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(read, read, read)
    with pytest.raises(PlanError, match=r"'hessian': Weights can't be differentiated twice .*flash_attention"):
        estimate_diagonal(module, iter([fused.square().sum()]))


def test_lamp_is_each_square_over_those_that_are_no_smaller() -> None:
    assert lamp(np.array([4.0, 1.0, 3.0])).tolist() == [1.0, 1 / 8, 3 / 7]
    assert lamp(np.zeros(2)).tolist() == [0.0, 0.0]


def test_lamp_compares_layers_as_it_is() -> None:
    module = nn.Sequential(nn.Linear(1, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0], [10.0], [100.0], [1000.0]]).sqrt())
        module[1].weight.fill_(1.0)
        module[2].weight.fill_(1.0)
    prune_channels(module, (torch.randn(2, 1),), 0.5, importance="lamp", scope="global", round_to=1)
    # Equal channels count 1/4, 1/3, 1/2 and 1; with those of the first layer on the other side its own count .125,
    # .171, .295 and 1. Of all eight these four are the least: .125, .171, 1/4, .295.
    assert (len(module[0].weight), len(module[1].weight)) == (1, 3)


def test_what_a_prune_loses_is_the_sum_of_what_went() -> None:
    module = nn.Sequential(nn.Linear(1, 4, bias=False), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))
        module[1].weight.fill_(2.0)
    report = prune_channels(module, (torch.randn(2, 1),), 0.5, round_to=1)
    # Of channel c: c**2 in the first layer, and 2 * 2**2 in the second.
    assert report.lost == pytest.approx((1 + 8) + (4 + 8))


@pytest.mark.parametrize("importance", ["fisher", "hessian", "kd-taylor"])
def test_rankings_by_a_loss_keep_what_it_feels(importance: Importance, tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    ctx = replace(ctx, teachers=(Teacher(small.small_model(seed=1)),))
    module = small.small_model().module.train()
    layer, norm = module.stages[0][0].conv1, module.stages[0][0].bn1
    with torch.no_grad():
        # What this block's first convolution makes reaches no output in half of its channels.
        module.stages[0][0].conv2.weight[:, ::2] = 0
    measure_gradients(module, importance, ctx)
    assert module.training and norm.weight.grad is not None
    counted = importance_of(layer.weight, importance).sum((1, 2, 3))
    unread, read = counted[::2], counted[1::2]
    if importance == "hessian":
        # An estimate: the other weights' share in it is 0 on average alone, with its sign.
        signed = (layer.weight.detach().square() * layer.weight.grad).sum((1, 2, 3)).abs()
        assert float(signed[::2].mean()) < float(signed[1::2].mean()) / 2
    else:
        assert float(unread.max()) == 0.0 < float(read.min())


def test_weights_alone_need_no_gradients(tmp_path: Path) -> None:
    module = small.small_model().module
    for importance in ("magnitude", "bn-scale", "lamp", "random", "reconstruction"):
        measure_gradients(module, importance, small.small_context(tmp_path))
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_network_that_is_its_own_teacher_gives_no_ranking(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path)
    with pytest.raises(PlanError, match=r"'kd-taylor': the network answers as its teachers do"):
        measure_gradients(small.small_model().module, "kd-taylor", ctx)


def test_without_teachers_the_labels_rank(tmp_path: Path) -> None:
    ctx = replace(small.small_context(tmp_path), teachers=())
    one, other = small.small_model().module, small.small_model().module
    measure_gradients(one, "kd-taylor", ctx)
    measure_gradients(other, "taylor", ctx)
    assert torch.equal(one.conv1.weight.grad, other.conv1.weight.grad)


def test_the_teachers_gradient_is_that_of_their_loss(tmp_path: Path) -> None:
    teacher = small.small_model(seed=1)
    ctx = replace(small.small_context(tmp_path), teachers=(Teacher(teacher),))
    module = small.small_model().module
    measure_gradients(module, "kd-taylor", ctx, KdSettings(alpha=0.5, temperature=2.0))
    found = module.conv1.weight.grad.clone()
    module.zero_grad()
    for batch in ctx.data.training_batches(64, ctx.seed, epoch=0):
        with torch.no_grad():
            wanted = teacher.module(*batch.inputs)
        kd_kl(module(*batch.inputs), wanted, 2.0).backward()
    torch.testing.assert_close(found, module.conv1.weight.grad, rtol=1e-4, atol=1e-7)


def test_layers_that_are_coupled_come_together() -> None:
    module = small.small_model().module
    groups = coupled_layers(module, (torch.randn(2, 1, 8, 8),))
    named = [group for group in groups if "stages.0.0.conv1" in group]
    assert named == [("stages.0.0.conv1",)]
    (stem,) = [group for group in groups if "conv1" in group]
    assert "stages.0.0.conv2" in stem
    assert sum(map(len, groups)) == len({name for group in groups for name in group})
    assert not any("fc" in group for group in groups)
