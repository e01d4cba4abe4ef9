"""Random transformers of every kind in which every weight counts, and what each is called with."""

from typing import Any

import small_texts
import timm
import torch
from torch import Tensor, nn

VISION: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("vit_tiny_patch16_224", {"embed_dim": 32, "num_heads": 4, "depth": 2, "img_size": 32}),
    "deit": ("deit_tiny_distilled_patch16_224", {"embed_dim": 32, "num_heads": 4, "depth": 2, "img_size": 32}),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"embed_dim": 16, "num_heads": (2, 4, 4, 8), "depths": (2, 1, 1, 1), "img_size": 56},
    ),
}
Network = tuple[nn.Module, tuple[Tensor, ...]]


def network(kind: str) -> Network:
    """A random network in which every weight and bias counts, and what it is called with."""
    torch.manual_seed(1)
    if kind in VISION:
        name, settings = VISION[kind]
        module = timm.create_model(name, num_classes=3, **settings).eval()
        inputs: tuple[Tensor, ...] = (torch.randn(2, 3, settings["img_size"], settings["img_size"]),)
    else:
        model = small_texts.encoder(kind)
        module, inputs = model.module, small_texts.inputs_of(model)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2 + (parameter.dim() == 1) * 0.5)
    return module, inputs


def call(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = module(*inputs)
    return outputs
