"""Channels of the residual stream physically removed: a transformer's width, everywhere it is read or written."""

from typing import Any

import torch
from torch import Tensor, nn

from compressor.blocks import attentions, feed_forwards
from compressor.errors import PlanError
from compressor.prune.channels import Coupled, Couplings, followed, output_layers
from compressor.prune.importance import Importance, importance_of
from compressor.prune.outcome import PruneReport
from compressor.prune.transformers import linear_at, refuse_for_transformers, taken

STREAM = "residual stream"
# Of ELECTRA and DeBERTa: there only while the embeddings have another width than the stream.
PROJECTIONS = ("embeddings_project", "embed_proj")
# What modules call the width where they keep it.
ATTRIBUTES = ("hidden_size", "dim", "embed_dim", "embedding_size", "num_features", "head_hidden_size")
HINT = "leave out prune.width"


def prune_width(
    module: nn.Module,
    example_inputs: tuple[Tensor, ...],
    share: float,
    *,
    importance: Importance = "magnitude",
    round_to: int = 8,
    seed: int = 0,
) -> PruneReport:
    """Remove a share of the residual stream's channels, in place; heads keep their number and size.

    The same channels leave embeddings, norms, the inputs of query, key and value, the outputs of attention, and both
    ends of every feed-forward. Between the stream and the answer, layers that are as wide as it (BERT's pooler,
    RoBERTa's and DistilBERT's first layer of the head) lose as many of their own outputs. Norms see fewer channels
    from then on, so their means and variances are others: what remains must be trained. Muralidharan et al. 2024
    (https://arxiv.org/abs/2407.14679, section 2.2) rank such channels over all layers at once, Xia et al. 2023
    (https://arxiv.org/abs/2310.06694) prune one mask of them for all layers.

    Args:
        module: Pruned in place. For a ranking by a loss ``measure_gradients`` comes first; what it left stays,
            narrowed with its tensors, for whoever prunes next.
        example_inputs: One call's inputs, on the module's device.
        share: Removed of the channels, 0 to 1.
        importance: What a channel counts is summed over all tensors that have it: squares for ``magnitude``,
            ``|weight * gradient|`` for ``taylor``, and so those by other losses; ``random`` is the control.
        round_to: Channels that stay are a multiple of this.
        seed: Of the random ranking.

    Returns:
        The width before and after, under ``"residual stream"``.

    Raises:
        PlanError: A ranking for convolutional networks; a network without attention whose heads have a size of their
            own, with several widths, or whose outputs are the stream itself.
    """
    refuse_for_transformers(importance)
    with followed(module, HINT):
        stream, head = _spaces(module, example_inputs)
        count = kept_width(module, stream.size, share, round_to)
        if count < stream.size:
            chance = torch.Generator().manual_seed(seed)
            for space in (stream, *head):
                scores = _scores(module, space, importance, chance)
                _keep(module, space, scores.topk(count).indices.sort().values)
            for child in module.modules():
                for name in ATTRIBUTES:
                    if vars(child).get(name) == stream.size:
                        setattr(child, name, count)
    return PruneReport({STREAM: stream.size}, {STREAM: count})


def kept_width(module: nn.Module, width: int, share: float, round_to: int) -> int:
    """How many of the channels stay: the nearest multiple, and at least one.

    One more where ELECTRA's embeddings are as wide: it has no layer between them and the stream then.

    Args:
        module: The network.
        width: Channels now.
        share: Removed of them.
        round_to: What stays is a multiple of this.
    """
    count = max(1, round(width * (1 - share) / round_to)) * round_to
    between = [child for path, child in module.named_modules() if path.endswith(PROJECTIONS)]
    if any(isinstance(child, nn.Linear) and child.in_features == count for child in between):
        count += round_to
    return min(count, width)


def _spaces(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> tuple[Coupled, list[Coupled]]:
    """The stream, and the layers' outputs between it and the answer that are as wide.

    Raises:
        PlanError: There is no such stream.
    """
    blocks = attentions(module)
    kind = type(getattr(module, "network", module)).__name__
    if not blocks:
        raise PlanError(
            f"prune.width: {kind} has no attention whose heads have a size of their own: "
            "torch's computes it from the network's width",
            HINT,
        )
    inside = {path for block in blocks for path in block.inputs}
    inside |= {path for pair in feed_forwards(module) for path in pair.inputs}
    widths = sorted({linear_at(module, path).in_features for path in inside})
    if len(widths) > 1:
        raise PlanError(f"prune.width: {kind} has stages of several widths ({', '.join(map(str, widths))})", HINT)
    graph = Couplings(module, example_inputs)
    stream = graph.read_by(blocks[0].inputs[0])
    if not stream.whole or not inside <= set(stream.readers):
        raise PlanError(f"prune.width: the channels of {kind} are not the same in every block", HINT)
    answers = set(output_layers(module, example_inputs))
    if answers & set(stream.writers):
        raise PlanError(f"prune.width: the answers of {kind} are the channels themselves, and would be fewer", HINT)
    between = [
        path
        for path in stream.readers
        if path not in inside | answers and linear_at(module, path).out_features == stream.size
    ]
    return stream, [graph.made_by(path) for path in between]


def _keep(module: nn.Module, space: Coupled, places: Tensor) -> None:
    """Leave these of a space's channels, and say so in the layers' own attributes."""
    for name, axis in space.tensors.items():
        owner, _, attribute = name.rpartition(".")
        layer: Any = module.get_submodule(owner)
        narrow = taken(getattr(layer, attribute), axis, places)
        setattr(layer, attribute, narrow)
        if isinstance(layer, nn.LayerNorm):
            layer.normalized_shape = tuple(narrow.shape)
        elif isinstance(layer, nn.Embedding):
            layer.embedding_dim = len(places)
        elif isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = layer.weight.shape
        elif isinstance(layer, nn.Conv2d):
            layer.out_channels = layer.weight.shape[0]


def _scores(module: nn.Module, space: Coupled, importance: Importance, chance: torch.Generator) -> Tensor:
    if importance == "random":
        return torch.rand(space.size, generator=chance)
    total = torch.zeros(space.size)
    for name, axis in space.tensors.items():
        values = importance_of(module.get_parameter(name), importance)
        total += values.movedim(axis, 0).flatten(1).sum(1).cpu() if values.dim() > 1 else values.cpu()
    return total
