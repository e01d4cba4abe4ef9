"""Quantizers put into a captured graph, as a specification lists them."""

import torch
from torch import Tensor, fx, nn

from compressor.errors import ModelFileError
from compressor.graphs import capture, to_relu
from compressor.graphs.tensors import tensor_at
from compressor.models import Activations, QuantizationSpec, Quantizer
from compressor.quantize import operators as ops
from compressor.quantize.fake_quant import ActivationQuantizer, SharedQuantizer, WeightQuantizer

# Under this name a graph's ``meta`` has how many activations became ReLU.
SWAPPED = "swapped_activations"
DTYPES = {"uint8": torch.uint8, "int8": torch.int8}


def insert(
    module: nn.Module, spec: QuantizationSpec, example_inputs: tuple[Tensor, ...], longest: int | None = None
) -> fx.GraphModule:
    """Capture a float module and insert the quantizers of a specification.

    The same module code, specification and torch version give the same state_dict keys in any process.

    Args:
        module: Left untouched.
        spec: From ``place``, or read from a saved model.
        example_inputs: Inputs that fit the module.
        longest: The most tokens that a text network has positions for.

    Raises:
        ModelFileError: The specification names nodes that the graph doesn't have.
    """
    return insert_quantizers(captured(module, example_inputs, longest, spec.activations), spec)


def captured(
    module: nn.Module, example_inputs: tuple[Tensor, ...], longest: int | None, activations: Activations
) -> fx.GraphModule:
    """The graph that quantizers go into."""
    graph_module = capture(module, example_inputs, longest)
    if activations == "relu":
        graph_module.meta[SWAPPED] = to_relu(graph_module)
    return graph_module


def insert_quantizers(graph_module: fx.GraphModule, spec: QuantizationSpec) -> fx.GraphModule:
    """Insert quantizers into a captured graph, in place; their ranges are still to be set."""
    nodes = {node.name: node for node in graph_module.graph.nodes}
    missing = sorted({q.node for q in spec.quantizers} - set(nodes))
    if missing:
        raise ModelFileError(
            f"the quantized model names layers that torch {torch.__version__} doesn't find in the network: "
            f"{', '.join(missing[:3])} ({len(missing)} in all); it was written with torch {spec.torch_version}",
            f"pip install torch=={spec.torch_version.partition('+')[0]}",
        )
    half = spec.rest == "float16"
    owners = [q for q in spec.quantizers if not q.shares]
    for quantizer in (*owners, *(q for q in spec.quantizers if q.shares)):
        node = nodes[quantizer.node]
        if quantizer.role == "weight":
            _insert_on_weight(graph_module, node, quantizer, half)
        else:
            _insert_on_output(graph_module, node, quantizer, nodes, half)
    graph_module.graph.lint()
    graph_module.recompile()
    return graph_module


def activation_quantizers(graph_module: fx.GraphModule) -> dict[str, ActivationQuantizer]:
    """The quantizers that have a grid of their own, by name."""
    return {name: m for name, m in graph_module.named_modules() if isinstance(m, ActivationQuantizer)}


def weight_quantizers(graph_module: fx.GraphModule) -> list[tuple[WeightQuantizer, Tensor]]:
    """Every weight's quantizer and the weight itself."""
    found = []
    for node in graph_module.graph.nodes:
        if node.op == "call_module":
            called = graph_module.get_submodule(str(node.target))
            if isinstance(called, WeightQuantizer):
                weight = tensor_at(graph_module, str(node.args[0].target))
                assert weight is not None
                found.append((called, weight))
    return found


def _insert_on_weight(graph_module: fx.GraphModule, node: fx.Node, quantizer: Quantizer, half: bool) -> None:
    weight_node = node.args[ops.weight_place(node)]
    assert isinstance(weight_node, fx.Node)
    weight = tensor_at(graph_module, str(weight_node.target))
    assert weight is not None and quantizer.axis is not None
    axis, channels = quantizer.axis, weight.shape[quantizer.axis]
    made = WeightQuantizer(channels, axis, bits=quantizer.bits, half_scale=half).to(weight.device)
    made.fit_to(weight)
    _add(graph_module, quantizer.name, made)
    with graph_module.graph.inserting_before(node):
        rounded = graph_module.graph.call_module(quantizer.name, (weight_node,))
    node.replace_input_with(weight_node, rounded)


def _insert_on_output(
    graph_module: fx.GraphModule, node: fx.Node, quantizer: Quantizer, nodes: dict[str, fx.Node], half: bool
) -> None:
    made: nn.Module
    if quantizer.shares:
        source = graph_module.get_submodule(quantizer.shares)
        assert isinstance(source, ActivationQuantizer)
        made = SharedQuantizer(source, rounds=node.target not in ops.PASS_THROUGH | ops.CONCATENATIONS)
    else:
        made = ActivationQuantizer(DTYPES[quantizer.dtype], half_scale=half)
    _add(graph_module, quantizer.name, made)
    readers = [nodes[name] for name in quantizer.users] or list(node.users)
    with graph_module.graph.inserting_after(node):
        rounded = graph_module.graph.call_module(quantizer.name, (node,))
    for reader in readers:
        reader.replace_input_with(node, rounded)


def _add(graph_module: fx.GraphModule, name: str, made: nn.Module) -> None:
    graph_module.add_submodule(name, made.train(graph_module.training))
