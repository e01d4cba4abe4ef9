"""Attention heads and feed-forward neurons physically removed from transformers of any library."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from compressor.blocks import Attention, FeedForward, attentions, feed_forwards, has_attention
from compressor.copies import copy_of
from compressor.errors import PlanError
from compressor.prune.importance import Importance, importance_of
from compressor.prune.outcome import PruneReport
from compressor.prune.reconstruction import fit_to, least_missed

# What holds a network's weights, but for its tables.
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MultiheadAttention)


def is_transformer(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> bool:
    """Whether a network is narrowed by ``prune_blocks``: it attends, and most of its weights are in such blocks.

    Two linear layers in a row alone, as ConvNeXt has in each block and many networks at their end, are not enough;
    nor is attention between the convolutions of MobileViT, or of a kind whose heads and neurons aren't found. Where a
    block's code computes the size of a head from the width (CoaT, ConViT), or keeps more of each head than is known
    (EdgeNeXt's temperatures), it can't be called with fewer, which is tried.
    """
    blocks, pairs = attentions(module), feed_forwards(module)
    if not (blocks or pairs) or not has_attention(module):
        return False
    paths = {path for block in blocks for path in (*block.inputs, block.output)}
    paths |= {path for pair in pairs for path in (*pair.inputs, pair.second)}
    layers = {path: child for path, child in module.named_modules() if isinstance(child, WEIGHTED)}
    sizes = {path: sum(parameter.numel() for parameter in child.parameters()) for path, child in layers.items()}
    return 2 * sum(sizes[path] for path in paths) >= sum(sizes.values()) and _runs_with_fewer(module, example_inputs)


def _runs_with_fewer(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> bool:
    copied = copy_of(module).eval()
    prune_blocks(copied, heads=0.5, neurons=0.5)
    try:
        with torch.no_grad():
            copied(*example_inputs)
    except Exception:  # whatever its code raises
        return False
    return True


def width_in_blocks(module: nn.Module, heads: float = 1.0, neurons: float = 1.0) -> float:
    """What ``prune_blocks`` can take from: the width of all heads and the neurons of all feed-forwards.

    Args:
        module: A transformer.
        heads: What share of all heads to count.
        neurons: The same of neurons.
    """
    width = sum(block.heads * block.size for block in attentions(module))
    return heads * width + neurons * sum(pair.neurons for pair in feed_forwards(module))


def readers(module: nn.Module) -> list[str]:
    """Paths of the layers that read what ``prune_blocks`` removes: heads, and neurons."""
    return [block.output for block in attentions(module)] + [pair.second for pair in feed_forwards(module)]


def prune_blocks(
    module: nn.Module,
    *,
    heads: float,
    neurons: float,
    importance: Importance | Mapping[str, Tensor] = "magnitude",
    round_to: int = 8,
    ignored: Sequence[str] = (),
    seed: int = 0,
) -> PruneReport:
    """Remove whole heads and feed-forward neurons, in place; what lies between the blocks keeps its width.

    Michel et al. 2019 (https://arxiv.org/abs/1905.10650) for heads by their share in the loss, McCarley et
    al. 2019 (https://arxiv.org/abs/1910.06360) for both.

    Args:
        module: Pruned in place; ``measure_gradients`` comes first for a ranking by a loss.
        heads: Share removed of each block's heads, 0 to 1; at least one head stays. Where query heads share a
            key/value head, it goes with all of them.
        neurons: Share removed of each feed-forward's neurons, and of the gate that they are multiplied with.
        importance: ``magnitude`` is the L2 norm of what belongs to a head or neuron, ``taylor`` the sum of
            ``|weight * gradient|`` over it, and so those by other losses, ``random`` the control. Of all ``readers``'
            ``second_moments`` (in a profile ``reconstruction``) those stay without which a reader's outputs change
            least, and its weights are fitted to them.
        round_to: Neurons that stay are a multiple of this.
        ignored: Paths; blocks under them are left alone.
        seed: Of the random ranking.

    Raises:
        PlanError: The ranking is one for convolutional networks.
    """
    refuse_for_transformers(importance)
    rank = _ranking(module, importance, seed)
    before: dict[str, int] = {}
    kept: dict[str, str] = {}
    for block in attentions(module):
        if _ignored(block.path, ignored):
            kept[block.path] = "set in skip"
            continue
        before[block.path] = block.heads
        count = max(1, round(block.heads * (1 - heads)))
        if count < block.heads:
            _keep_heads(module, block, rank(block, count))
    for pair in feed_forwards(module):
        if _ignored(pair.first, ignored):
            kept[pair.first] = "set in skip"
            continue
        before[pair.first] = pair.neurons
        count = min(pair.neurons, max(1, round(pair.neurons * (1 - neurons) / round_to)) * round_to)
        if count < pair.neurons:
            _keep_neurons(module, pair, rank(pair, count))
    for path, child in module.named_modules():
        if isinstance(child, nn.MultiheadAttention):
            kept[path] = "torch's own attention computes the size of a head from the network's width"
    for parameter in module.parameters():
        parameter.grad = None
    after = {block.path: block.heads for block in attentions(module) if block.path in before}
    after |= {pair.first: pair.neurons for pair in feed_forwards(module) if pair.first in before}
    return PruneReport(before, after, kept)


def refuse_for_transformers(importance: Importance | Mapping[str, Tensor]) -> None:
    """Refuse the rankings that say nothing of heads, neurons or a stream's channels.

    Raises:
        PlanError: It is one of those.
    """
    why = {
        "bn-scale": "a transformer has no BatchNorm",
        "lamp": "it compares layers, and of a transformer each block loses the same share; within one it is magnitude",
    }
    if isinstance(importance, str) and importance in why:
        raise PlanError(f"prune.importance = '{importance}': {why[importance]}", "magnitude, or taylor")


def _ranking(
    module: nn.Module, importance: Importance | Mapping[str, Tensor], seed: int
) -> Callable[[Attention | FeedForward, int], Tensor]:
    """What says which heads or neurons of a block stay, when so many do."""
    chance = torch.Generator().manual_seed(seed)

    def by_scores(block: Attention | FeedForward, count: int) -> Tensor:
        assert isinstance(importance, str)
        if isinstance(block, Attention):
            scores = _head_scores(module, block, importance, chance)
        else:
            scores = _neuron_scores(module, block, importance, chance)
        return scores.topk(count).indices.sort().values

    def by_moments(block: Attention | FeedForward, count: int) -> Tensor:
        assert not isinstance(importance, str)
        path, units = (block.output, block.heads) if isinstance(block, Attention) else (block.second, block.neurons)
        reader, moments = linear_at(module, path), importance[path]
        stay = least_missed(reader.weight, moments, units, count)
        fit_to(reader, moments, torch.arange(reader.in_features).view(units, -1)[stay].flatten())
        return stay

    return by_scores if isinstance(importance, str) else by_moments


def _ignored(name: str, ignored: Sequence[str]) -> bool:
    return any(name == path or name.startswith(f"{path}.") for path in ignored)


def linear_at(module: nn.Module, path: str) -> nn.Linear:
    """The linear layer of this path."""
    found = module.get_submodule(path)
    assert isinstance(found, nn.Linear)
    return found


def _head_scores(module: nn.Module, block: Attention, importance: Importance, chance: torch.Generator) -> Tensor:
    if importance == "random":
        return torch.rand(block.heads, generator=chance)
    total = torch.zeros(block.heads)
    for path in block.inputs:
        rows = importance_of(linear_at(module, path).weight, importance).sum(1).cpu()
        total += rows.view(block.parts, block.heads, -1).sum((0, 2))
    columns = importance_of(linear_at(module, block.output).weight, importance).sum(0).cpu()
    return total + columns.view(block.heads, block.size).sum(1)


def _neuron_scores(module: nn.Module, pair: FeedForward, importance: Importance, chance: torch.Generator) -> Tensor:
    if importance == "random":
        return torch.rand(pair.neurons, generator=chance)
    total = importance_of(linear_at(module, pair.second).weight, importance).sum(0)
    for path in pair.inputs:
        total = total + importance_of(linear_at(module, path).weight, importance).sum(1)
    return total.cpu()


def _keep_heads(module: nn.Module, block: Attention, heads: Tensor) -> None:
    for path in block.inputs:
        layer = linear_at(module, path)
        # Key and value have fewer rows to a head where several query heads share one.
        rows = torch.arange(layer.out_features).view(block.parts, block.heads, -1)
        keep_rows(layer, rows[:, heads].flatten())
    columns = torch.arange(block.heads * block.size).view(block.heads, -1)
    keep_columns(linear_at(module, block.output), columns[heads].flatten())
    holder = module.get_submodule(block.path)
    if block.heads_attribute:
        setattr(holder, block.heads_attribute, len(heads))
    if block.total_attribute:
        setattr(holder, block.total_attribute, len(heads) * block.size)
    if block.table:
        owner, _, name = block.table.rpartition(".")
        table = getattr(module.get_submodule(owner), name)
        setattr(module.get_submodule(owner), name, taken(table, 1, heads))
    if block.places_attribute:
        places = getattr(holder, block.places_attribute)
        setattr(holder, block.places_attribute, [places[head] for head in heads.tolist()])


def _keep_neurons(module: nn.Module, pair: FeedForward, neurons: Tensor) -> None:
    for path in pair.inputs:
        keep_rows(linear_at(module, path), neurons)
    keep_columns(linear_at(module, pair.second), neurons)
    holder: Any = module.get_submodule(pair.first.rpartition(".")[0])
    if hasattr(holder, "intermediate_size"):
        holder.intermediate_size = len(neurons)


def keep_rows(layer: nn.Linear, rows: Tensor) -> None:
    """Leave a linear layer only these outputs."""
    layer.weight, layer.out_features = taken(layer.weight, 0, rows), len(rows)
    if layer.bias is not None:
        layer.bias = taken(layer.bias, 0, rows)


def keep_columns(layer: nn.Linear, columns: Tensor) -> None:
    """Leave a linear layer only these inputs."""
    layer.weight, layer.in_features = taken(layer.weight, 1, columns), len(columns)


def taken(parameter: Tensor, axis: int, places: Tensor) -> nn.Parameter:
    """These places of a parameter alone, and of its gradient where it has one."""
    here = places.to(parameter.device)
    made = nn.Parameter(parameter.detach().index_select(axis, here).clone(), requires_grad=parameter.requires_grad)
    if parameter.grad is not None:
        made.grad = parameter.grad.index_select(axis, here)
    return made
