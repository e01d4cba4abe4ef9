"""Small ONNX graphs with one fault each, and the same without it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
U8, S8 = np.uint8, np.int8


class Graph:
    """A graph that grows: each method adds nodes and gives the name of what they make."""

    def __init__(self, channels: int = 32, pixels: int = 16, batch: int = 1) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[TensorProto] = []
        self.chance = np.random.default_rng(0)
        self.input = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, channels, pixels, pixels])
        self.last = "input"
        self.metadata: dict[str, str] = {}
        # Of activations; of weights it is always 0.
        self.zero = 0

    def store(self, values: Any, name: str = "") -> str:
        name = name or f"stored_{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        output = f"{name}_out"
        self.nodes.append(helper.make_node(kind, [*inputs], [output], name=name, **attributes))
        self.last = output
        return output

    def conv(self, source: str, inside: int, out: int, kernel: int = 3, name: str = "", **attributes: Any) -> str:
        groups = attributes.get("group", 1)
        weight = self.chance.normal(size=(out, inside // groups, kernel, kernel)).astype(np.float32) * 0.05
        return self.add("Conv", source, self.store(weight), name=name, pads=[kernel // 2] * 4, **attributes)

    def qdq(self, source: str, scale: float = 0.05, kind: Any = U8, name: str = "") -> str:
        given = [self.store(np.float32(scale)), self.store(kind(self.zero))]
        return self.add("DequantizeLinear", self.add("QuantizeLinear", source, *given), *given, name=name)

    def qconv(self, source: str, inside: int, out: int, kernel: int = 3, name: str = "", **attributes: Any) -> str:
        """A convolution with int8 weights and Q and DQ behind it; its source has to have them."""
        weight = self.chance.integers(-60, 60, size=(out, inside, kernel, kernel)).astype(S8)
        scales = [self.store(np.full(out, 0.002, np.float32)), self.store(np.zeros(out, S8))]
        wide = self.add("DequantizeLinear", self.store(weight), *scales, axis=0)
        return self.add("Conv", source, wide, name=name, pads=[kernel // 2] * 4, **attributes)

    def write(self, path: Path) -> Path:
        output = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "graph", [self.input], [output], self.stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        helper.set_model_props(model, self.metadata)
        path.write_bytes(model.SerializeToString())
        return path
