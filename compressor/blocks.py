"""The parts of transformers that can lose width on their own: attention heads and feed-forward neurons."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from compressor.factories.own_heads import HEADS, SHARED_TABLE


@dataclass(frozen=True)
class Attention:
    """One attention block.

    Args:
        path: The module that holds ``heads_attribute``.
        inputs: Linear layers whose outputs are split into heads.
        parts: How many times the heads lie in each of ``inputs``: 3 where one layer gives query, key and value.
        output: The linear layer that reads all heads.
        heads: How many; where several query heads share a key/value head, each such group counts as one.
        size: How many of ``output``'s inputs are of one.
        heads_attribute: Holds ``heads``; empty where nothing does.
        total_attribute: Holds ``heads * size``; empty where nothing does.
        table: A parameter with one column per head, ``relative_position_bias_table``; empty for none.
        places_attribute: Holds which columns of a table that all blocks share are this one's; empty for none.
        queries: How many query heads share a key/value head (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245).
    """

    path: str
    inputs: tuple[str, ...]
    parts: int
    output: str
    heads: int
    size: int
    heads_attribute: str
    total_attribute: str = ""
    table: str = ""
    places_attribute: str = ""
    queries: int = 1


@dataclass(frozen=True)
class FeedForward:
    """Two linear layers with an activation between them.

    Args:
        first: Its outputs are the neurons.
        second: Reads them.
        neurons: How many.
        gate: A linear layer whose outputs the neurons are multiplied with; empty for none.
    """

    first: str
    second: str
    neurons: int
    gate: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The layers whose outputs belong to the neurons."""
        return (self.first, self.gate) if self.gate else (self.first,)


@dataclass(frozen=True)
class _Rule:
    inputs: tuple[str, ...]
    output: str
    heads: str
    total: str = ""
    holder: str = ""
    parts: int = 1
    size: str = ""


# By the names that the libraries give their layers.
ATTENTION = (
    _Rule(("self.query", "self.key", "self.value"), "output.dense", "num_attention_heads", "all_head_size", "self"),
    _Rule(
        ("self.query_proj", "self.key_proj", "self.value_proj"),
        "output.dense",
        "num_attention_heads",
        "all_head_size",
        "self",
    ),
    _Rule(("q_lin", "k_lin", "v_lin"), "out_lin", "n_heads"),
    _Rule(("q", "k", "v"), "o", "num_attention_heads", "all_head_size"),
    _Rule(("query", "key", "value"), "dense", "num_attention_heads", "all_head_size"),
    _Rule(("qkv",), "proj", "num_heads", "attn_dim", parts=3),
    # Decoders keep no number of heads, only how wide one is.
    _Rule(("q_proj", "k_proj", "v_proj"), "o_proj", "", size="head_dim"),
)
FEED_FORWARD = (
    ("intermediate.dense", "output.dense"),
    ("ffn.lin1", "ffn.lin2"),
    ("ffn", "ffn_output"),
    ("mlp.fc1", "mlp.fc2"),
    ("mlp.0", "mlp.3"),
    ("mlp.up_proj", "mlp.down_proj"),
)
# Beside the first of two layers where there is one.
GATES = {"up_proj": "gate_proj"}
# DeBERTa's own projections of relative positions, where it has them beside the usual three.
POSITIONS = ("pos_key_proj", "pos_query_proj")
TABLE = "relative_position_bias_table"


def attentions(module: nn.Module) -> list[Attention]:
    """Every attention block whose heads can be taken out, in the order of the network.

    torchvision's attention isn't among them: it computes the size of a head from the network's width.
    """
    modules = dict(module.named_modules())
    shared = any(path.rpartition(".")[2] == SHARED_TABLE for path in modules)
    found = []
    for prefix in modules:
        for rule in ATTENTION:
            inputs = tuple(_under(prefix, name) for name in rule.inputs)
            output, holder = _under(prefix, rule.output), _under(prefix, rule.holder)
            if not _all_linear(modules, (*inputs, output)) or not hasattr(modules[holder], rule.heads or rule.size):
                continue
            if rule.parts == 3 and not hasattr(modules[holder], rule.total) and not _splits_by_heads(modules[holder]):
                continue
            if shared and not hasattr(modules[holder], HEADS):
                # Without places of its own in the table a block can't lose a head that another keeps.
                continue
            heads, queries = _counts(modules, inputs, modules[holder], rule)
            more = tuple(f"{holder}.{name}" for name in POSITIONS if f"{holder}.{name}" in modules)
            found.append(
                Attention(
                    path=holder,
                    inputs=inputs + more,
                    parts=rule.parts,
                    output=output,
                    heads=heads,
                    size=modules[output].in_features // heads,
                    heads_attribute=rule.heads,
                    total_attribute=rule.total if hasattr(modules[holder], rule.total or " ") else "",
                    table=f"{holder}.{TABLE}" if hasattr(modules[holder], TABLE) else "",
                    places_attribute=HEADS if shared else "",
                    queries=queries,
                )
            )
            break
    return found


def has_attention(module: nn.Module) -> bool:
    """Whether any layer attends, also those whose heads can't be taken out: torch's own, and torchvision's Swin."""
    return bool(attentions(module)) or any(
        isinstance(child, nn.MultiheadAttention)
        or (isinstance(getattr(child, "qkv", None), nn.Linear) and hasattr(child, "num_heads"))
        for child in module.modules()
    )


def feed_forwards(module: nn.Module) -> list[FeedForward]:
    """Every pair of linear layers whose neurons nobody else reads, in the order of the network."""
    modules = dict(module.named_modules())
    return [
        FeedForward(first, second, int(modules[first].out_features), _gate(modules, first))
        for first, second in _pairs(modules)
        if _all_linear(modules, (first, second)) and modules[first].out_features == modules[second].in_features
    ]


def _pairs(modules: dict[str, nn.Module]) -> Iterator[tuple[str, str]]:
    for prefix in modules:
        for first, second in FEED_FORWARD:
            yield _under(prefix, first), _under(prefix, second)


def _gate(modules: dict[str, nn.Module], first: str) -> str:
    owner, _, name = first.rpartition(".")
    gate = _under(owner, GATES.get(name, ""))
    return gate if name in GATES and _all_linear(modules, (gate,)) else ""


def _counts(modules: dict[str, nn.Module], inputs: tuple[str, ...], holder: nn.Module, rule: _Rule) -> tuple[int, int]:
    """How many heads, and how many queries of each."""
    if rule.heads:
        return int(getattr(holder, rule.heads)), 1
    layers: list[Any] = [modules[path] for path in inputs[:2]]
    queries, keys = (layer.out_features // getattr(holder, rule.size) for layer in layers)
    return keys, queries // keys


def _under(prefix: str, name: str) -> str:
    return ".".join(part for part in (prefix, name) if part)


def _all_linear(modules: dict[str, nn.Module], paths: tuple[str, ...]) -> bool:
    return all(isinstance(modules.get(path), nn.Linear) for path in paths)


def _splits_by_heads(module: nn.Module) -> bool:
    """Timm's window attention leaves the size of a head to the reshape; torchvision's computes it from the width."""
    return type(module).__module__.startswith("timm.")
