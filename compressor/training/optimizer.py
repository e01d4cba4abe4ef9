"""The optimizer and its schedule from the settings."""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from compressor.training.settings import TrainSettings


def make_optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW or SGD over all trainable parameters; vectors (biases, norms) get no weight decay."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, settings: TrainSettings, steps: int) -> LambdaLR:
    """The learning rate by step: a linear rise (one-cycle only), then half a cosine down to zero."""
    rise = round(settings.warmup * steps) if settings.schedule == "one-cycle" else 0

    def share_of_peak(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

    return LambdaLR(optimizer, share_of_peak)
