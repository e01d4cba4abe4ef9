"""ONNX files whose cost is known: so many equal convolutions in a row."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KERNEL = 9


def write_convolutions(path: Path, layers: int, channels: int = 4, size: int = 8, says: str = "") -> Path:
    """A file of ``layers`` 3x3 convolutions with ReLU, (batch, channels, size, size) to (batch, channels).

    Args:
        path: Where.
        layers: A layer more is its share of the time more.
        channels: Of all layers.
        size: Of the image.
        says: Changes the file's bytes and nothing else.
    """
    draws = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array((draws.standard_normal((channels, channels, 3, 3)) / 8).astype(np.float32), f"w{place}")
        for place in range(layers)
    ]
    nodes, last = [], "x"
    for place in range(layers):
        nodes.append(helper.make_node("Conv", [last, f"w{place}"], [f"c{place}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{place}"], [f"r{place}"]))
        last = f"r{place}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["y"]))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", channels, size, size])
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", channels])
    graph = helper.make_graph(nodes, "convolutions", [given], [gives], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10, doc_string=says)
    onnx.save(model, path)
    return path


def values_of(layers: int, channels: int = 4) -> int:
    """How many weights such a file has."""
    return layers * channels * channels * KERNEL


def macs_of(layers: int, channels: int = 4, size: int = 8) -> int:
    """How many multiplications a sample takes."""
    return values_of(layers, channels) * size * size
