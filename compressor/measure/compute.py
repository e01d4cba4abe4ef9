"""How much a network computes and holds."""

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from compressor.copies import frozen_copy
from compressor.onnx_files import compute


def count_params(module: nn.Module | Path) -> int:
    """Trained values: parameters of a module, or weights and biases of an ONNX file."""
    if isinstance(module, Path):
        return compute.params(onnx.load(module))
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module | Path, example_inputs: tuple[Tensor, ...]) -> int:
    """Multiply-accumulates of convolutions and matrix products for one sample.

    Biases, activations and normalisation are not counted, as is usual; nor is fake quantization, so
    that a quantized graph has its float network's count.

    Args:
        module: Left untouched; or an ONNX file, counted by its nodes.
        example_inputs: Any number of samples.
    """
    samples = len(example_inputs[0])
    if isinstance(module, Path):
        graph = onnx.load(module)
        # A graph whose batch is written into it may hold constants of that size.
        fixed = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value or samples
        return compute.macs(graph, [(fixed, *t.shape[1:]) for t in example_inputs]) // fixed
    # The counter's hooks take no parameter that is itself an input of a layer, as CaiT's class token, if it is trained.
    copied = frozen_copy(module).cpu()
    fused = torch.backends.mha.get_fastpath_enabled()
    # The counter knows none of the CPU's fused attention operators; they would count as 0.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            copied(*(tensor.cpu() for tensor in example_inputs))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.get_total_flops()) // 2 // samples
