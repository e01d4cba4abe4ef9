"""Run by torch.distributed.run: gradients of every loss in two processes against one with the whole batch."""

import sys

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from compressor.distill import losses

BATCH = 8


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 6, 3))


def value(name: str, features: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    loss = getattr(losses, name)
    logits, wanted = features.mean((2, 3)), teacher.mean((2, 3))
    if name == "label_smoothing":
        return loss(logits, labels)
    if name == "decoupled_kd":
        return loss(logits, wanted, labels)
    if name in ("kd_kl", "logit_mse", "cosine"):
        return loss(logits, wanted)
    if name == "hidden_states":
        return loss(features.flatten(2), teacher.flatten(2))
    return loss(features, teacher)


def gradients(module: nn.Module, name: str, rows: slice) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH, 1, 8, 8, generator=generator)
    teacher = torch.randn(BATCH, 6, 4, 4, generator=generator)
    labels = torch.randint(0, 6, (BATCH,), generator=generator)
    module.zero_grad()
    value(name, module(images[rows]), teacher[rows], labels[rows]).backward()
    return [p.grad.clone() for p in module.parameters()]


def main() -> None:
    alone = {name: gradients(network(), name, slice(None)) for name in losses.__all__}
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    wrapped = DistributedDataParallel(network())
    half = slice(rank, None, 2)
    for name in losses.__all__:
        for found, wanted in zip(gradients(wrapped, name, half), alone[name], strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7, msg=lambda text, n=name: f"{n}: {text}")
    distributed.destroy_process_group()
    sys.stdout.write(f"rank {rank}: {len(losses.__all__)} losses\n")


if __name__ == "__main__":
    main()
