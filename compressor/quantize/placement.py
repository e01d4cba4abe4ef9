"""Where quantizers go, by the rules of the runtime that will run the file.

``onnxruntime-cpu``: uint8 with a zero_point before and after every convolution, on both sides of
additions, and the same grid on both sides of whatever only moves values: ONNX Runtime turns an operator
into an integer kernel only if all its tensors carry Q/DQ.

``tensorrt``: int8 around 0 on the inputs of layers with weights, and on the shortcut of a residual
addition; TensorRT fuses the rest by itself and refuses a zero_point.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import fx

from compressor.errors import PlanError
from compressor.models import QuantizationSpec, Quantizer, WeightBits
from compressor.quantize import operators as ops
from compressor.quantize.fake_quant import FOUR_BITS_OPSET
from compressor.quantize.operators import is_clipped_at_zero, layer_name, sources, spatial_size
from compressor.target import Target

SKIPPED = "left out by the setting 'skip'"
GATE = "a gate on 1x1 maps (squeeze and excitation): a sliver of the compute, and sensitive"
STORED = "computes from stored values alone, once"
COMPUTED = "its weight is computed, not stored"
# A table of fewer rows than this saves no byte worth a rounding error.
TABLE_ROWS = 64


def place(
    graph_module: fx.GraphModule,
    target: Target,
    skip: Sequence[str] = (),
    weight_bits: WeightBits = 8,
    measured: Mapping[str, str] | None = None,
    four_bits: Sequence[str] = (),
) -> QuantizationSpec:
    """Choose the quantizers for a captured graph.

    Args:
        graph_module: From ``capture``.
        target: Its runtime chooses the rules.
        skip: Patterns of layer names to leave in float, ``"layer4.*"``.
        weight_bits: Of weights and tables.
        measured: Graph nodes that a clock has put back into float, each with the reason.
        four_bits: Patterns of layer names whose weights have 4 bits instead.

    Raises:
        PlanError: The target can't hold, or can't use, weights of 4 bits.
    """
    if weight_bits == 4 or four_bits:
        _check_four_bits(target, "weight_bits=4" if weight_bits == 4 else "four_bits")
    nodes = list(graph_module.graph.nodes)
    float_layers, weighted = _sort_layers(nodes, skip, measured or {})
    if target.runtime == "tensorrt":
        activations = _place_for_tensorrt(nodes, weighted)
        scheme, rest = "tensorrt", "float16"
    else:
        activations = _OnnxRuntimeRules(nodes, weighted).place()
        scheme, rest = "onnxruntime-cpu", "float32"
    tables = [] if scheme == "tensorrt" else _tables(nodes, skip, float_layers)
    weights = [
        Quantizer(
            name=f"quantize_weight_{node.name}",
            node=node.name,
            role="weight",
            dtype="int8",
            axis=axis,
            bits=4 if _matches(node, four_bits) else weight_bits,
        )
        for chosen, axis in ((weighted, 0), (tables, 1))
        for node in chosen
    ]
    return QuantizationSpec(
        scheme=scheme,
        rest=rest,
        quantizers=(*activations, *weights),
        float_layers=float_layers,
        torch_version=torch.__version__,
    )


def _matches(node: fx.Node, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(layer_name(node), pattern) for pattern in patterns)


def _check_four_bits(target: Target, setting: str) -> None:
    if target.runtime != "onnxruntime":
        raise PlanError(
            f"quantize.{setting}: {target.runtime} multiplies no integers by weights of 4 bits",
            "--set quantize.weight_bits=8" if "weight" in setting else "--set quantize.four_bits=[]",
        )
    if target.opset < FOUR_BITS_OPSET:
        raise PlanError(
            f"quantize.{setting}: tensors of 4 bits need opset {FOUR_BITS_OPSET}, target.opset is {target.opset}",
            f"--set target.opset={FOUR_BITS_OPSET}, if the ONNX Runtime on the device reads it",
        )


def _sort_layers(
    nodes: list[fx.Node], skip: Sequence[str], measured: Mapping[str, str]
) -> tuple[dict[str, str], list[fx.Node]]:
    """Layers that stay in float with the reason, and the nodes of those with integer weights."""
    float_layers: dict[str, str] = {}
    weighted = []
    for node in nodes:
        if node.target in ops.WEIGHTED:
            reason = _reason_for_float(node, skip) or measured.get(node.name, "")
            if reason:
                float_layers[layer_name(node)] = reason
            else:
                weighted.append(node)
        elif node.target in ops.FLOAT_REASONS:
            float_layers[layer_name(node)] = ops.FLOAT_REASONS[node.target]
    return float_layers, weighted


def _tables(nodes: list[fx.Node], skip: Sequence[str], float_layers: dict[str, str]) -> list[fx.Node]:
    """Embeddings of enough rows: their integers are looked up and only then made floats, a scale per column."""
    found: list[fx.Node] = []
    for node in nodes:
        if node.target not in ops.EMBEDDINGS:
            continue
        table = node.args[0]
        rows = table.meta["val"].shape[0] if isinstance(table, fx.Node) and "val" in table.meta else 0
        if _matches(node, skip):
            float_layers[layer_name(node)] = SKIPPED
        elif rows >= TABLE_ROWS and isinstance(table, fx.Node) and table.op == "get_attr" and len(table.users) == 1:
            found.append(node)
    return found


def _reason_for_float(node: fx.Node, skip: Sequence[str]) -> str:
    if _matches(node, skip):
        return SKIPPED
    weight = node.args[1]
    if not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return COMPUTED
    if not sources(node):
        return STORED
    return GATE if _is_gate(node) else ""


def _is_gate(node: fx.Node) -> bool:
    """Whether a layer on 1x1 maps only scales the channels of larger maps."""
    given = sources(node)[0]
    if node.target in ops.LINEAR or spatial_size(given) > 1 or spatial_size(node) > 1:
        return False
    reached = list(node.users)
    while reached:
        user = reached.pop()
        if user.target in ops.MULTIPLICATIONS and spatial_size(user) > 1:
            return True
        if user.target in ops.ELEMENTWISE or user.target in ops.CONVOLUTIONS:
            reached.extend(user.users)
    return False


def _place_for_tensorrt(nodes: list[fx.Node], weighted: list[fx.Node]) -> list[Quantizer]:
    readers: dict[fx.Node, list[fx.Node]] = {}
    for node in weighted:
        readers.setdefault(sources(node)[0], []).append(node)
    convolutions = {node for node in weighted if node.target in ops.CONVOLUTIONS}
    depth: dict[fx.Node, int] = {}
    for node in nodes:
        depth[node] = 1 + max((depth[given] for given in sources(node)), default=0)
        branches = sources(node)
        if node.target in ops.ADDITIONS and len(branches) == 2 and any(b in convolutions for b in branches):
            # The convolution at the end of the longer branch takes the addition in; the other branch is
            # read from memory, as integers if it has a quantizer.
            shortcut = min(branches, key=lambda branch: depth[branch])
            readers.setdefault(shortcut, []).append(node)
    return [
        Quantizer(
            name=f"quantize_{node.name}",
            node=node.name,
            role="activation",
            dtype="int8",
            users=tuple(user.name for user in readers[node]),
        )
        for node in nodes
        if node in readers
    ]


class _OnnxRuntimeRules:
    """One pass forward marks what must be integers, one pass backward what only moves them."""

    def __init__(self, nodes: list[fx.Node], weighted: list[fx.Node]) -> None:
        self.nodes = nodes
        self.weighted = set(weighted)
        # Nodes whose output has a grid, and the node whose grid it is.
        self.grid: dict[fx.Node, fx.Node] = {}
        # Of these, the ones that nothing but linear layers needs in integers: other readers stay in float.
        self.for_linear: set[fx.Node] = set()

    def place(self) -> list[Quantizer]:
        needed = self._needed()
        for node in self.nodes:
            if node in self.weighted:
                self._mark(self._input_of(node), node)
                if node.target in ops.CONVOLUTIONS:
                    self._mark(_after_activation(node))
            elif node.target in ops.ADDITIONS:
                branches = sources(node)
                if len(branches) == 2 and all(self._is_integer(branch) for branch in branches):
                    self._mark(_after_activation(node))
            elif node.target in ops.GLOBAL_POOLS and node in needed and self._is_integer(sources(node)[0]):
                self._mark(node)
            elif not sources(node):
                # A table that is cut and turned: it changes with no input.
                continue
            elif node.target in ops.PASS_THROUGH and node in needed and self._is_integer(sources(node)[0]):
                self._share([node, sources(node)[0]])
            elif node.target in ops.CONCATENATIONS and node in needed and all(map(self._is_integer, sources(node))):
                self._share([node, *sources(node)])
        return [self._quantizer(node) for node in self.nodes if node in self.grid]

    def _input_of(self, node: fx.Node) -> fx.Node:
        return sources(node)[0]

    def _mark(self, node: fx.Node, reader: fx.Node | None = None) -> None:
        if reader is None or reader.target not in ops.LINEAR:
            self.for_linear.discard(node)
        elif node not in self.grid:
            self.for_linear.add(node)
        self.grid.setdefault(node, node)

    def _is_integer(self, node: fx.Node) -> bool:
        return node in self.grid

    def _share(self, nodes: list[fx.Node]) -> None:
        """Give these nodes, and all that share with them, the grid of the first in the graph."""
        self.for_linear.difference_update(nodes)
        joined = {self.grid.get(node, node) for node in nodes}
        first = next(node for node in self.nodes if node in joined)
        for node in nodes:
            self.grid.setdefault(node, node)
        for node, owner in self.grid.items():
            if owner in joined:
                self.grid[node] = first

    def _needed(self) -> set[fx.Node]:
        """Nodes whose output reaches an integer layer through nothing but pools and moves."""
        carriers = ops.PASS_THROUGH | ops.CONCATENATIONS | ops.GLOBAL_POOLS
        needed: set[fx.Node] = set()
        for node in reversed(self.nodes):
            if any(
                user in self.weighted or user.target in ops.ADDITIONS or (user.target in carriers and user in needed)
                for user in node.users
            ):
                needed.add(node)
        return needed

    def _quantizer(self, node: fx.Node) -> Quantizer:
        owner = self.grid[node]
        shares = "" if owner is node else f"quantize_{owner.name}"
        users: tuple[str, ...] = ()
        if node in self.for_linear and not shares:
            readers = [user for user in node.users if user in self.weighted]
            users = tuple(user.name for user in readers) if len(readers) < len(node.users) else ()
        return Quantizer(
            name=f"quantize_{node.name}", node=node.name, role="activation", dtype="uint8", users=users, shares=shares
        )


def _after_activation(node: fx.Node) -> fx.Node:
    """The ReLU that alone reads a node, else the node: a grid that starts at 0 makes the ReLU free."""
    users = list(node.users)
    return users[0] if len(users) == 1 and is_clipped_at_zero(users[0]) else node
