"""What a clock says of int8: layers that it makes slower stay in float, and a network that it doesn't help is left."""

import math
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compressor.context import Progress, RunContext
from compressor.export.dynamic import write_dynamic
from compressor.export.onnx import graph_of, write_graph
from compressor.export.prefer import needs_int8, wins
from compressor.factories.text_network import is_text_network
from compressor.measure import p50s, timed_inputs
from compressor.measure.node_times import node_times
from compressor.models import QuantizationSpec, QuantizedModel
from compressor.onnx_files import file_size
from compressor.quantize.regions import Regions

ROUNDS = 3
# How the reason begins.
SLOWER = "slower in int8 here"
# For all rounds together; another one isn't begun after them.
SECONDS = 20.0
# A comparison decides between files that differ by several percent.
SECONDS_EACH, BLOCKS = 1.0, 5
Place = Callable[[Mapping[str, str]], QuantizationSpec]
Costs = Callable[[Path], dict[str, float]]


def measure_placement(
    model: QuantizedModel, place: Place, ctx: RunContext, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Time the calibrated network in int8 against float, and leave in float what costs time, in a few rounds.

    In each round ONNX Runtime's profile names the layers whose region costs more than in the float file; they are put
    back, and what is faster is kept. Where a size budget needs int8, the rules alone decide and nothing is timed.

    Args:
        model: Calibrated, by the rules.
        place: Gives the specification with these graph nodes in float, for these reasons.
        ctx: The run's facts.
        clock: Seconds.

    Returns:
        JSON: ``in_float`` (node to reason), ``slower`` (why the float file is the better one; empty if int8 is),
        ``fp32_ms``, ``rules_ms`` and ``kept_ms`` where timed, ``notes``.
    """
    start = clock()
    ctx.progress(Progress("quantize", message="timing int8 against float, layer by layer"))
    inputs = ctx.task.example_inputs(ctx.data, max(2, ctx.target.batch_size))
    graph = graph_of(model, inputs, opset=ctx.target.opset)
    ctx.workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ctx.workdir) as folder:
        files = _Files(graph, model, Path(folder))
        plain, best = files.write("float", ()), files.write("rules", None)
        needed = needs_int8(ctx.budget, file_size(plain), file_size(best), ctx.reference.module)
        if needed:
            note = f"layers are in int8 by the rules alone, whatever their time: {needed}"
            return {"in_float": {}, "slower": "", "notes": [note]}
        regions = Regions(graph.graph, model.spec)

        def costs(path: Path) -> dict[str, float]:
            return regions.times(node_times(path, timed_inputs(ctx), ctx.target.threads))

        rounds = _Rounds(plain, best, costs, ctx)
        notes = rounds.run(place, files, lambda: clock() - start)
        slower = "" if wins(rounds.kept_ms, rounds.fp32_ms) else _figures(rounds.kept_ms, rounds.fp32_ms)
        if slower and is_text_network(model.info.factory) and files.dynamic_wins(plain, ctx):
            slower = ""
    if slower:
        rounds.in_float.clear()
        notes = [f"int8 is no faster than float here ({slower}): the float file is what to ship"]
    found = {"fp32_ms": rounds.fp32_ms, "rules_ms": rounds.rules_ms, "kept_ms": rounds.kept_ms}
    return {"in_float": rounds.in_float, "slower": slower, "notes": notes, **found}


class _Files:
    """Mixtures of int8 and float, from one export."""

    def __init__(self, graph: Any, model: QuantizedModel, folder: Path) -> None:
        self._graph, self._model, self._folder = graph, model, folder

    def write(self, name: str, keep: Any) -> Path:
        return write_graph(self._graph, self._model, self._folder / f"{name}.onnx", keep).path

    def dynamic_wins(self, plain: Path, ctx: RunContext) -> bool:
        """Whether ranges measured at every call make a text network faster than float, where fixed ones don't."""
        bits = {one.bits for one in self._model.spec.quantizers if one.role == "weight"}
        if 4 in bits:
            return False
        tables = [one.name for one in self._model.spec.quantizers if one.role == "weight" and one.axis == 1]
        made = write_dynamic(self.write("tables", tables), self._folder / "dynamic.onnx", seven_bits=7 in bits)
        fp32_ms, dynamic_ms = _timed([plain, made], ctx)
        return wins(dynamic_ms, fp32_ms)


class _Rounds:
    """The search: what is in float so far, and the file of it."""

    def __init__(self, plain: Path, best: Path, costs: Costs, ctx: RunContext) -> None:
        self._plain, self._best, self._costs, self._ctx = plain, best, costs, ctx
        self.in_float: dict[str, str] = {}
        self.fp32_ms, self.rules_ms = _timed([plain, best], ctx)
        self.kept_ms = self.rules_ms

    def run(self, place: Place, files: _Files, spent: Callable[[], float]) -> list[str]:
        in_float_file = self._costs(self._plain)
        share = 1.0
        for number in range(ROUNDS):
            if spent() > SECONDS:
                return [f"no more layers were tried in float after {number} rounds: {SECONDS:.0f} s were up"]
            slow = self._slow(in_float_file, self._costs(self._best))
            chosen = dict(list(slow.items())[: math.ceil(share * len(slow))])
            tried = {**self.in_float, **chosen}
            spec = place(tried)
            if not chosen or not any(one.role == "weight" for one in spec.quantizers):
                break
            file = files.write(f"round{number}", {one.name for one in spec.quantizers})
            self.fp32_ms, kept_ms, new_ms = _timed([self._plain, self._best, file], self._ctx)
            self.kept_ms = kept_ms
            if wins(new_ms, kept_ms):
                self.in_float, self._best, self.kept_ms = tried, file, new_ms
            else:
                # Not all of them, then those that cost most.
                share /= 2
        return []

    def _slow(self, in_float_file: dict[str, float], now: dict[str, float]) -> dict[str, str]:
        """Layers whose region costs more than in the float file, the worst first, with the reason."""
        excess = {layer: now[layer] - in_float_file[layer] for layer in now.keys() & in_float_file.keys()}
        worst = sorted((layer for layer in excess if excess[layer] > 0), key=lambda layer: (-excess[layer], layer))
        return {
            layer: f"{SLOWER}: {now[layer]:.3f} ms with its conversions, {in_float_file[layer]:.3f} in float"
            for layer in worst
            if layer not in self.in_float
        }


def _timed(paths: list[Path], ctx: RunContext) -> list[float]:
    return p50s(paths, ctx, seconds=SECONDS_EACH, blocks=BLOCKS)


def _figures(int8_ms: float, fp32_ms: float) -> str:
    return f"p50 {int8_ms:.3f} against {fp32_ms:.3f} ms"
