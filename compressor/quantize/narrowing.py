"""What weights of 4 bits would cost each layer alone, against the bytes that they would save: without training."""

from dataclasses import dataclass

import numpy as np
import torch

from compressor.context import RunContext
from compressor.models import QuantizedModel
from compressor.quantize.fake_quant import WeightQuantizer
from compressor.quantize.insertion import weight_quantizers
from compressor.quantize.operators import layer_name
from compressor.training.layout import layout_of

SAMPLES = 512


@dataclass(frozen=True, slots=True)
class Narrowed:
    """One layer with weights of 4 bits.

    Args:
        layer: Its name, as ``quantize.four_bits`` takes it.
        saved_bytes: Of the file.
        error: Mean squared change of the answers over their variance; errors of several layers about add up.
    """

    layer: str
    saved_bytes: int
    error: float


def narrowed_layers(model: QuantizedModel, ctx: RunContext, samples: int = SAMPLES) -> list[Narrowed]:
    """Round one layer's weights to 4 bits at a time and see what that does to the answers on validation.

    Labels aren't looked at: the answers' change is known to more digits than a score from so few samples. That errors
    of layers add up is the assumption of HAWQ-V2 (Dong et al. 2020, https://arxiv.org/abs/1911.03852).

    Args:
        model: Calibrated; left as it was.
        ctx: Gives the validation split.
        samples: Of it, from the start.

    Returns:
        The layers that save most a unit of error first.
    """
    graph = model.module.eval().to(ctx.device)
    layers = _layers(model)
    layout = layout_of(graph)
    count = min(samples, len(ctx.data.validation))
    batch = layout.move(ctx.data.batch("validation", torch.arange(count)), ctx.device)

    def answers() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        with torch.no_grad():
            found: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
            found = ctx.task.logits(ctx.task.forward(graph, batch), batch).float().cpu().numpy()
        return found

    before = answers()
    spread = float(before.var()) or 1.0
    found = []
    for quantizer, weight in weight_quantizers(graph):
        name = layers.get(id(quantizer))
        if name is None or quantizer.bits == 4:
            continue
        narrow = WeightQuantizer(len(quantizer.scale), quantizer.axis, bits=4, half_scale=quantizer.half_scale)
        narrow.to(weight.device).fit_to(weight)
        kept = quantizer.bits, quantizer.limit, quantizer.scale.clone()
        quantizer.bits, quantizer.limit = 4, narrow.limit
        quantizer.scale.copy_(narrow.scale)
        error = float(((answers() - before) ** 2).mean()) / spread
        quantizer.bits, quantizer.limit = kept[0], kept[1]
        quantizer.scale.copy_(kept[2])
        found.append(Narrowed(name, weight.numel() // 2, error))
    return sorted(found, key=lambda one: one.error / max(one.saved_bytes, 1))


def _layers(model: QuantizedModel) -> dict[int, str]:
    nodes = {node.name: node for node in model.module.graph.nodes}
    return {
        id(model.module.get_submodule(one.name)): layer_name(nodes[one.node])
        for one in model.spec.quantizers
        if one.role == "weight" and one.node in nodes
    }
