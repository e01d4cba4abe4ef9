"""What each node of an ONNX file costs, by ONNX Runtime's own profile."""

import json
import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from compressor.onnx_files.session import PROVIDER, session_options
from compressor.runners import Arrays

CALLS = 20
KERNEL = "_kernel_time"


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node of the graph that ONNX Runtime made of a file, in the order in which they run."""

    name: str
    operator: str
    milliseconds: float


Events = dict[tuple[str, str], list[dict[str, Any]]]


def node_times(path: Path, inputs: Sequence[Arrays], threads: int = 1, calls: int = CALLS) -> list[NodeTime]:
    """The median time of every node.

    A node that was fused keeps the name of one of its parts, more or less: see ``compressor.quantize.regions``.

    Args:
        path: The file.
        inputs: What it is called with in turn.
        threads: As the target has them.
        calls: How often.
    """
    events = kernel_events(path, inputs, threads, calls)
    return [NodeTime(name, kind, milliseconds_of(ran)) for (name, kind), ran in events.items()]


def kernel_events(
    path: Path,
    inputs: Sequence[Arrays],
    threads: int,
    calls: int,
    *,
    seconds: float = math.inf,
    optimized: Path | None = None,
) -> Events:
    """ONNX Runtime's own profile of a file: what it noted of each kernel, by node and operator.

    The first call isn't counted, unless it is the only one.

    Args:
        path: The file.
        inputs: What it is called with in turn.
        threads: As the target has them.
        calls: How often at the most.
        seconds: After them no other call is begun.
        optimized: Where the graph that it runs is written; None for nowhere.
    """
    options = session_options(threads)
    options.enable_profiling = True
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=[PROVIDER])
        names = [given.name for given in session.get_inputs()]
        deadline = time.monotonic() + seconds
        for call in range(calls + 1):
            session.run(None, dict(zip(names, inputs[call % len(inputs)], strict=True)))
            if time.monotonic() > deadline:
                break
        noted = json.loads(Path(session.end_profiling()).read_text())
    found: Events = {}
    for event in noted:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            found.setdefault((event["name"].removesuffix(KERNEL), event["args"]["op_name"]), []).append(event)
    return {node: ran[1:] or ran for node, ran in found.items()}


def milliseconds_of(events: Sequence[Mapping[str, Any]]) -> float:
    """The median over the calls."""
    return float(statistics.median(event["dur"] for event in events)) / 1000
