"""Rankings by hand: gammas, gradients, and the random control."""

from pathlib import Path

import small
import torch
from torch import nn
from torch.nn import functional

from compressor.prune import prune_channels
from compressor.prune.importance import accumulate_gradients

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
