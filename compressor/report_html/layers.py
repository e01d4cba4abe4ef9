"""Layer by layer: what became of each, as rows, and what the last file has of them in a sentence."""

from collections import Counter

from compressor.figures import EMPTY, MISSING, Figure, count, points, whole
from compressor.report import Layer, Report, Sensitivity

GONE = "not in the last file: merged with another, or of a network that was replaced"


def layer_rows(report: Report) -> list[dict[str, str]]:
    """Every layer that any stage had, in the network's order; none of reports that don't list them.

    Before is what the layer was when it was first there: in the reference, or in the student that took its place.
    """
    if not any(record.layers for record in report.stages[1:]):
        return []
    first: dict[str, Layer] = {}
    kept: dict[str, str] = {}
    for record in report.stages:
        for layer in record.layers:
            first.setdefault(layer.name, layer)
            kept[layer.name] = layer.kept or kept.get(layer.name, "")
    last = {layer.name: layer for layer in _last(report)}
    cut, rounded = _measured(report)
    return [
        _row(layer, last.get(name), kept[name]) | {"cut": _lost(cut.get(name)), "rounded": _lost(rounded.get(name))}
        for name, layer in first.items()
    ]


def layers_told(report: Report) -> str:
    """How many layers the last file has in which numbers, and how many weights of how many."""
    layers, reference = _last(report), report.stages[0].layers
    precisions = Counter(layer.precision for layer in layers)
    told = ", ".join(f"{number} in {precision}" for precision, number in sorted(precisions.items()))
    weights = [count(sum(layer.weights for layer in some)) for some in (layers, reference)]
    return f"{len(layers)} layers, {told}; {weights[0]} of {weights[1]} weights"


def _last(report: Report) -> list[Layer]:
    return next((record.layers for record in reversed(report.stages) if record.layers), [])


def _row(before: Layer, after: Layer | None, kept: str) -> dict[str, str]:
    row: dict[str, str] = {
        "name": before.name,
        "kind": before.kind,
        "channels_before": whole(before.channels),
        "weights_before": whole(before.weights),
    }
    if after is None:
        return row | {"channels": EMPTY, "weights": EMPTY, "precision": "", "why": GONE}
    why = [f"all channels: {kept}"] if kept and before.channels == after.channels else []
    why += [f"{after.precision}: {after.in_float}"] if after.in_float else []
    return row | {
        "channels": whole(after.channels),
        "weights": whole(after.weights),
        "precision": after.precision,
        "why": "; ".join(why),
    }


def _measured(report: Report) -> tuple[dict[str, Sensitivity], dict[str, Sensitivity]]:
    """By layer what it lost with fewer channels, at the coarsest ratio, and in int8."""
    cut: dict[str, Sensitivity] = {}
    rounded: dict[str, Sensitivity] = {}
    for part in report.search.sensitivity if report.search else ():
        if part.drop is None:
            continue
        for name in part.layers:
            if part.kind == "precision":
                rounded[name] = part
            elif name not in cut or (part.ratio or 0.0) > (cut[name].ratio or 0.0):
                cut[name] = part
    return cut, rounded


def _lost(part: Sensitivity | None) -> Figure:
    return MISSING if part is None else points(part.drop, part.stderr)
