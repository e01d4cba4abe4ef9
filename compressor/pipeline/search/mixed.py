"""Weights of 4 bits in the layers that bear it: half of their bytes, in the same time."""

import time
from collections.abc import Sequence

from compressor.models import QuantizedModel
from compressor.pipeline.search.moves import Moves, untrained
from compressor.pipeline.search.work import Node
from compressor.quantize.fake_quant import FOUR_BITS_OPSET
from compressor.quantize.narrowing import Narrowed, narrowed_layers
from compressor.quantize.stage import Quantize
from compressor.stage import Stage

# Of the bytes that all layers together could save, what is tried, the most first.
SHARES = (1.0, 0.8, 0.5)


def narrowed(moves: Moves, node: Node) -> None:
    """Try files of a network in which as many layers as bear it have weights of 4 bits; they are in ``moves``.

    Layers are taken by what they change of the answers for each byte that they save. The first file that keeps the
    goals ends it.

    Args:
        moves: The search's.
        node: The network that was chosen, with its file.
    """
    file, target = moves.file(node), moves.work.job.profile.target
    place = next((place for place, stage in enumerate(moves.tail) if isinstance(stage, Quantize)), None)
    if file is None or place is None or file.precision != "int8" or moves.judge.objective != "size":
        return
    stage = moves.tail[place]
    assert isinstance(stage, Quantize)
    if target.runtime != "onnxruntime" or target.opset < FOUR_BITS_OPSET or stage.weight_bits == 4 or stage.four_bits:
        return
    layers = _measured(moves, node, moves.tail[: place + 1])
    for share in SHARES:
        chosen = within(layers, share)
        tail = (*moves.tail[:place], stage.model_copy(update={"four_bits": chosen}), *moves.tail[place + 1 :])
        made = moves.variant(node, tail, f"4 bits in {len(chosen)} layers") if chosen else None
        if made is None or moves.judge.meets(made.measured):
            return


def within(layers: Sequence[Narrowed], share: float) -> tuple[str, ...]:
    """The names of the first layers that together save so much of what all would, at least one of them."""
    wanted = share * sum(layer.saved_bytes for layer in layers)
    chosen: list[str] = []
    saved = 0.0
    for layer in layers:
        if saved >= wanted:
            break
        chosen.append(layer.layer)
        saved += layer.saved_bytes
    return tuple(chosen)


def _measured(moves: Moves, node: Node, stages: tuple[Stage, ...]) -> list[Narrowed]:
    start = time.perf_counter()
    form, ctx = moves.work.form_after(node, tuple(map(untrained, stages)))
    layers = narrowed_layers(form, ctx) if isinstance(form, QuantizedModel) else []
    # A pass over answers for each layer: of a text network's forty that takes minutes, which --hours has to know of.
    moves.work.spent("measuring", time.perf_counter() - start)
    return layers
