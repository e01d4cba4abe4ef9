"""What each node of an ONNX file costs, by ONNX Runtime's own profile."""

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from compressor.runners import Arrays
from compressor.runners.onnx import PROVIDER, session_options

CALLS = 20
KERNEL = "_kernel_time"


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node of the graph that ONNX Runtime made of a file, in the order in which they run."""

    name: str
    operator: str
    milliseconds: float


def node_times(path: Path, inputs: Sequence[Arrays], threads: int = 1, calls: int = CALLS) -> list[NodeTime]:
    """The median time of every node.

    The first call isn't counted. A node that was fused keeps the name of one of its parts, more or less: see
    ``compressor.quantize.regions``.

    Args:
        path: The file.
        inputs: What it is called with in turn.
        threads: As the target has them.
        calls: How often.
    """
    options = session_options(threads)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=[PROVIDER])
        names = [given.name for given in session.get_inputs()]
        for call in range(calls + 1):
            session.run(None, dict(zip(names, inputs[call % len(inputs)], strict=True)))
        events = json.loads(Path(session.end_profiling()).read_text())
    spent: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            node = (event["name"].removesuffix(KERNEL), event["args"]["op_name"])
            spent.setdefault(node, []).append(event["dur"] / 1000)
    return [NodeTime(name, kind, statistics.median(times[1:] or times)) for (name, kind), times in spent.items()]
