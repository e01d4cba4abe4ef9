"""What a text network's configuration says of its widths and heads after pruning."""

from math import lcm
from typing import Any

from torch import nn

from compressor.blocks import attentions, feed_forwards
from compressor.errors import InputError
from compressor.export.huggingface import is_expressible
from compressor.factories.text_network import changed, config_of, is_text_network
from compressor.models import ModelInfo
from compressor.prune.transformers import linear_at


def width_step(info: ModelInfo, round_to: int) -> int:
    """What the residual stream's width must be a multiple of: ``round_to``, and for texts the number of heads.

    Encoders of transformers take no other width, whatever their heads' own is.
    """
    if not is_text_network(info.factory):
        return round_to
    assert info.factory is not None
    return lcm(round_to, config_of(info.factory.arguments["config"]).num_attention_heads)


def narrowed(info: ModelInfo, module: nn.Module) -> ModelInfo:
    """The network's description with a configuration that says how wide it is now.

    Its feed-forwards, where they are all of one width, and its residual stream. How many heads there are it says
    only where that gives this very network: encoders of transformers compute the width of a head from the network's,
    so that fewer heads can be said where the network is narrower by as much; decoders' configurations name it.

    Args:
        info: From before the pruning.
        module: After it.
    """
    if not is_text_network(info.factory):
        return info
    assert info.factory is not None
    config = config_of(info.factory.arguments["config"])
    blocks = attentions(module)
    neurons = {pair.neurons for pair in feed_forwards(module)}
    values: dict[str, Any] = {}
    if len(neurons) == 1:
        values["hidden_dim" if hasattr(config, "hidden_dim") else "intermediate_size"] = neurons.pop()
    if blocks:
        width = linear_at(module, blocks[0].inputs[0]).in_features
        names = [name for name in ("hidden_size", "pooler_hidden_size") if hasattr(config, name)]
        values |= dict.fromkeys(names, width)
    if hasattr(config, "num_key_value_heads") and blocks:
        # Or it would follow from the new width.
        values["head_dim"] = blocks[0].size // blocks[0].queries
    plain = _said(info, values)
    if len({(block.heads, block.size) for block in blocks}) != 1 or is_expressible(module, plain):
        return plain
    values["num_attention_heads"] = blocks[0].heads * blocks[0].queries
    if hasattr(config, "num_key_value_heads"):
        values["num_key_value_heads"] = blocks[0].heads
    try:
        exact = _said(info, values)
        return exact if is_expressible(module, exact) else plain
    except InputError:
        # Heads that its width isn't a multiple of.
        return plain


def _said(info: ModelInfo, values: dict[str, Any]) -> ModelInfo:
    assert info.factory is not None
    return info.model_copy(update={"factory": changed(info.factory, **values)})
