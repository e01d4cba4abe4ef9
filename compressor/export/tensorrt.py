"""A TensorRT engine from a strongly typed ONNX file; the same code for TensorRT and TensorRT-RTX."""

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

from compressor.errors import StageError
from compressor.extras import require
from compressor.models import EngineModel, OnnxModel
from compressor.target import Target
from compressor.writing import write_atomically

if TYPE_CHECKING:
    import tensorrt

SHOWN = 5
# TensorRT-RTX builds ahead of time for a named architecture; which one is of no account for a check.
CHECKED_CAPABILITY = "SM86"
# Tokens of an empty text: where it begins and ends.
SHORTEST = 2


def build_engine(model: OnnxModel, path: Path, target: Target) -> EngineModel:
    """Build the engine for this machine's GPU.

    Args:
        model: An ONNX file whose tensor types are the engine's.
        path: Where the engine goes; written atomically.
        target: Gives the shape range: batches from 1 to ``max_batch_size``, best at ``batch_size``.

    Raises:
        MissingError: TensorRT isn't installed.
        StageError: TensorRT refuses the graph, with the nodes that it names.
    """
    trt = require("tensorrt")
    plan, complaints = serialize_engine(trt, model.path, target)
    if plan is None:
        raise StageError(
            f"TensorRT {trt.__version__} can't build {model.path}:\n  " + "\n  ".join(complaints[:SHOWN]),
            "the same graph as fp32: leave the quantize stage out of the profile, and compare",
        )
    write_atomically(path, plan)
    return EngineModel(path, model.info, model.precision, torch.cuda.get_device_name())


def can_validate() -> bool:
    """Whether TensorRT-RTX, which builds without a GPU, is installed."""
    return find_spec("tensorrt_rtx") is not None


def validate_for_tensorrt(path: Path, target: Target) -> list[str]:
    """Build the graph with TensorRT-RTX on the CPU and throw the engine away.

    It has TensorRT's parser and keeps its rules on types, scales and zero points. It is no check of
    speed, nor of every layer on every device.

    Returns:
        What it complains about, with node names; empty where it builds.

    Raises:
        MissingError: TensorRT-RTX isn't installed.
    """
    trt = require("tensorrt_rtx")
    plan, complaints = serialize_engine(trt, path, target, CHECKED_CAPABILITY)
    return [] if plan is not None else complaints


def built_by_rtx(path: Path, target: Target) -> tuple[bool | None, list[str]]:
    """Whether TensorRT-RTX takes the graph, in words too; None and nothing where it isn't installed."""
    if not can_validate():
        return None, []
    complaints = validate_for_tensorrt(path, target)
    verdict = "refuses the graph: " + "; ".join(complaints[:3]) if complaints else "builds the graph"
    return not complaints, [f"TensorRT-RTX, which has TensorRT's parser and rules and builds without a GPU, {verdict}"]


def serialize_engine(
    trt: ModuleType, path: Path, target: Target, capability: str | None = None
) -> tuple[bytes | None, list[str]]:
    """Parse a file and build its engine.

    Args:
        trt: ``tensorrt`` or ``tensorrt_rtx``.
        path: The ONNX file.
        target: Gives the shape range.
        capability: A ``ComputeCapability`` of TensorRT-RTX, to build without a GPU.

    Returns:
        The serialized engine, or None; and the errors that were logged on the way.
    """
    logger = _error_log(trt)
    builder: tensorrt.Builder = trt.Builder(logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser: tensorrt.OnnxParser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        return None, [_describe(parser.get_error(place)) for place in range(parser.num_errors)]
    config = builder.create_builder_config()
    if capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
    config.add_optimization_profile(_shape_range(builder, network, target))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return None, logger.errors or ["the builder gave no engine and no reason"]
    return bytes(plan), logger.errors


def _shape_range(
    builder: "tensorrt.Builder", network: "tensorrt.INetworkDefinition", target: Target
) -> "tensorrt.IOptimizationProfile":
    """Batches and lengths from the smallest to the target's largest; every other axis is fixed in the file."""
    shape_range = builder.create_optimization_profile()
    for place in range(network.num_inputs):
        given = network.get_input(place)
        shape_range.set_shape(given.name, *shape_range_of(tuple(given.shape)[1:], target))
    return shape_range


def shape_range_of(sample: tuple[int, ...], target: Target) -> list[tuple[int, ...]]:
    """The smallest, the best and the largest shape of an input, with its batch axis.

    Args:
        sample: Without the batch axis; -1 or 0 where a text's length is.
        target: Gives both ranges.
    """
    batches = (1, target.batch_size, max(target.max_batch_size, target.batch_size))
    lengths = (SHORTEST, min(target.length, target.max_length), target.max_length)
    return [
        (batch, *(size if size > 0 else length for size in sample))
        for batch, length in zip(batches, lengths, strict=True)
    ]


def _describe(error: "tensorrt.ParserError") -> str:
    return f"node '{error.node_name()}' ({error.node_operator()}): {error.desc()}"


def _error_log(trt: ModuleType) -> Any:
    """A logger that keeps error messages and prints nothing."""
    base: Any = trt.ILogger

    class ErrorLog(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (base.ERROR, base.INTERNAL_ERROR):
                self.errors.append(message.strip())

    return ErrorLog()
