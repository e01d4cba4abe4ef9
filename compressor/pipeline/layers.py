"""The layers of what a stage made: what each holds, in which numbers, and why it was left as it was."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, fx, nn

from compressor.export.pairs import DEQUANTIZE
from compressor.graphs.tensors import tensor_at
from compressor.models import EngineModel, Form, OnnxModel, QuantizedModel, Quantizer, TorchModel
from compressor.prune.channels import layer_of
from compressor.quantize import operators as ops
from compressor.quantize.operators import layer_name
from compressor.report import Layer

# What only a file has whose ranges are measured at every call.
DYNAMIC = "DynamicQuantizeLinear"
FLOAT_FILE = "the file is the float one of the two: int8 was no faster here"
FLOAT = "float32"


def layers_of(form: Form, given: Form | None, kept: Mapping[str, str]) -> list[Layer]:
    """Every layer with weights; those of a file by the form that it was written from, and by what it has of it.

    Args:
        form: What a stage made.
        given: What it was handed; None of the reference.
        kept: Layers, or blocks of them, that lost no channels, with the reason.

    Returns:
        Nothing of a file that was written from no torch form.
    """
    found: Iterable[Layer] = ()
    if isinstance(form, TorchModel):
        found = _of_module(form.module)
    elif isinstance(form, QuantizedModel):
        found = _of_graph(form)
    elif isinstance(given, TorchModel):
        found = _of_module(given.module)
    elif isinstance(given, QuantizedModel):
        found = _of_file(form, given)
    return [layer.model_copy(update={"kept": _reason(layer.name, kept)}) for layer in found]


def _of_module(module: nn.Module) -> Iterator[Layer]:
    # Of names that share a weight the last one, which torch.export takes, too.
    names = {id(parameter): name for name, parameter in module.named_parameters(remove_duplicate=False)}
    held: dict[str, list[Tensor]] = {}
    for parameter in module.parameters():
        if parameter.dim() > 1:
            held.setdefault(layer_of(names[id(parameter)]), []).append(parameter)
    modules = dict(module.named_modules())
    for name, tensors in held.items():
        owner = modules.get(name)
        # TorchScript remembers what it was made of, a captured program doesn't.
        kind = "" if owner is None else str(getattr(owner, "original_name", type(owner).__name__))
        largest = max(tensors, key=torch.numel)
        axis = 1 if isinstance(owner, nn.Embedding) or getattr(owner, "transposed", False) else 0
        groups = getattr(owner, "groups", 1) if axis else 1
        # A table of positions, say, makes no channels.
        channels = None if owner is None else largest.shape[axis] * groups
        kind = "" if kind == nn.Module.__name__ else kind.removeprefix("Parametrized")
        yield Layer(name=name, kind=kind, channels=channels, weights=sum(map(torch.numel, tensors)), precision=FLOAT)


def _of_graph(model: QuantizedModel, stored: Collection[str] | None = None, is_dynamic: bool = False) -> list[Layer]:
    """The layers of a graph with quantizers.

    Args:
        model: The graph.
        stored: Names of the quantizers that the file written from it has; None for all.
        is_dynamic: Whether that file's linear layers are in integers without a quantizer.
    """
    quantizers = {one.name: one for one in model.spec.quantizers if stored is None or one.name in stored}
    found: dict[str, Layer] = {}
    for target, nodes in _weights(model.module).items():
        name, tensor = layer_of(target), tensor_at(model.module, target)
        direct = [user for node in nodes for user in node.users]
        readers = [reader for user in direct for reader in (user.users if user.op == "call_module" else [user])]
        quantizer = next((quantizers[str(user.target)] for user in direct if str(user.target) in quantizers), None)
        # Of several that read a tied weight the one that it is called by.
        reader = next((one for one in readers if layer_name(one) == name), readers[0])
        by_call = is_dynamic and reader.target in ops.LINEAR
        assert tensor is not None
        found[name] = Layer(
            name=name,
            channels=None if name == target else _channels(reader, tensor),
            weights=tensor.numel() + (found[name].weights if name in found else 0),
            precision="int8" if by_call else _precision(quantizer, model.spec.rest),
            in_float="" if quantizer or by_call else model.spec.float_layers.get(layer_name(reader), ""),
        )
    return list(found.values())


def _weights(graph: fx.GraphModule) -> dict[str, list[fx.Node]]:
    """The nodes that stand for every stored weight that is read."""
    found: dict[str, list[fx.Node]] = {}
    for node in graph.graph.nodes:
        tensor = tensor_at(graph, str(node.target)) if node.op == "get_attr" else None
        if isinstance(tensor, nn.Parameter) and tensor.dim() > 1 and node.users:
            found.setdefault(str(node.target), []).append(node)
    return found


def _channels(reader: fx.Node, weight: Tensor) -> int:
    if reader.target in ops.EMBEDDINGS:
        return weight.shape[1]
    if reader.target in ops.TRANSPOSED:
        groups = reader.args[6] if len(reader.args) > 6 else 1
        return weight.shape[1] * (groups if isinstance(groups, int) else 1)
    return weight.shape[0]


def _precision(quantizer: Quantizer | None, rest: str) -> str:
    if quantizer is None:
        return rest
    return "int4" if quantizer.bits == 4 else "int8"


def _of_file(form: OnnxModel | EngineModel, given: QuantizedModel) -> list[Layer]:
    if isinstance(form, EngineModel):
        return _of_graph(given)
    names, operators = _nodes(form.path)
    stored = {one.name for one in given.spec.quantizers if one.name + DEQUANTIZE in names}
    is_dynamic = DYNAMIC in operators
    layers = _of_graph(given, stored, is_dynamic)
    if stored or is_dynamic:
        return layers
    return [layer.model_copy(update={"in_float": layer.in_float or FLOAT_FILE}) for layer in layers]


def _nodes(path: Path) -> tuple[set[str], set[str]]:
    graph = onnx.load(path, load_external_data=False).graph
    return {node.name for node in graph.node}, {node.op_type for node in graph.node}


def _reason(name: str, kept: Mapping[str, str]) -> str:
    """Of a layer by itself, else of the block that it lies in."""
    blocks = [block for block in kept if name == block or name.startswith(f"{block}.")]
    return kept[max(blocks, key=len)] if blocks else ""
