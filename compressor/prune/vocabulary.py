"""Vocabulary trimming: tokens that the data never uses leave the tokenizer and the embedding together."""

import copy
import json
from typing import Any

import torch
from torch import Tensor, nn

from compressor.data.tokenizer import engine
from compressor.errors import PlanError
from compressor.factories.low_rank import word_table
from compressor.models import TokenizerSpec
from compressor.reading import parse_json


def vocabulary_size(spec: TokenizerSpec) -> int:
    """How many tokens there are, special ones too."""
    return int(engine(spec).get_vocab_size(with_added_tokens=True))


def token_counts(spec: TokenizerSpec, ids: Tensor) -> Tensor:
    """How often each token of the vocabulary occurs, int64 (vocabulary,)."""
    return ids.long().bincount(minlength=vocabulary_size(spec))


def tokens_to_keep(spec: TokenizerSpec, counts: Tensor, min_count: int) -> Tensor:
    """Ids of the tokens that stay, rising.

    Those that occur at least so often, special ones, and all that is needed to spell any other word: single
    characters, bytes, and for BPE the pieces that a kept token is merged from.

    Args:
        spec: The tokenizer.
        counts: int64 (vocabulary,).
        min_count: A token that occurs less often is spelled by shorter ones.

    Raises:
        PlanError: A kind of tokenizer that this can't trim.
    """
    tokenizer = parse_json(spec.content, dict, "the tokenizer")
    model = tokenizer["model"]
    names = _names(tokenizer)
    kept = {place for place, count in enumerate(counts.tolist()) if count >= min_count and place in names}
    kept |= {entry["id"] for entry in tokenizer.get("added_tokens", [])}
    kept.add(spec.pad_id)
    if model["type"] == "WordPiece":
        prefix = model["continuing_subword_prefix"]
        kept |= {place for place, name in names.items() if len(name.removeprefix(prefix)) == 1}
        kept.add(model["vocab"][model["unk_token"]])
    elif model["type"] == "BPE":
        kept |= _spelling_of_bpe(model, kept, names)
    elif model["type"] == "Unigram":
        kept |= {place for place, name in names.items() if len(name) == 1 or _is_byte(name)}
        kept.add(model["unk_id"])
    else:
        raise PlanError(
            f"vocabulary: a tokenizer of type {model['type']} can't be trimmed",
            "WordPiece, BPE and Unigram can; leave the vocabulary stage out",
        )
    return torch.tensor(sorted(kept))


def trim(spec: TokenizerSpec, kept: Tensor) -> TokenizerSpec:
    """The tokenizer with these tokens alone, numbered anew in the same order."""
    tokenizer = parse_json(spec.content, dict, "the tokenizer")
    places = {old: new for new, old in enumerate(kept.tolist())}
    model = tokenizer["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [entry for place, entry in enumerate(model["vocab"]) if place in places]
        model["unk_id"] = places[model["unk_id"]]
    else:
        model["vocab"] = {name: places[place] for name, place in model["vocab"].items() if place in places}
    if model["type"] == "BPE":
        model["merges"] = [merge for merge in model["merges"] if _stays(merge, model["vocab"])]
    for entry in tokenizer.get("added_tokens", []):
        entry["id"] = places[entry["id"]]
    if tokenizer.get("padding"):
        tokenizer["padding"]["pad_id"] = places[spec.pad_id]
    if tokenizer.get("post_processor"):
        tokenizer["post_processor"] = _renumbered(tokenizer["post_processor"], places)
    config = dict(spec.config)
    if "added_tokens_decoder" in config:
        named = config["added_tokens_decoder"].items()
        config["added_tokens_decoder"] = {str(places[int(old)]): token for old, token in named if int(old) in places}
    content = json.dumps(tokenizer, ensure_ascii=False)
    made = spec.model_copy(update={"content": content, "config": config, "pad_id": places[spec.pad_id]})
    engine(made)
    return made


def trim_embedding(module: nn.Module, kept: Tensor, pad_id: int) -> None:
    """Leave the network's table of tokens these rows alone, in place.

    Raises:
        PlanError: The tokenizer has tokens that the table has no rows for.
    """
    network: Any = module.network
    table = word_table(network)
    if int(kept.max()) >= table.num_embeddings:
        raise PlanError(
            f"vocabulary: the tokenizer's token {int(kept.max())} has no row among the {table.num_embeddings} of the "
            "network's table",
            "the tokenizer that the network was trained with; leave the vocabulary stage out",
        )
    # A decoder finds a text's last token by it.
    network.config.pad_token_id = pad_id
    for child in network.modules():
        if vars(child).get("vocab_size") == table.num_embeddings:
            child.vocab_size, child.padding_idx = len(kept), pad_id
    rows = kept.to(table.weight.device)
    table.weight = nn.Parameter(table.weight.detach().index_select(0, rows).clone(), table.weight.requires_grad)
    table.num_embeddings = len(kept)
    if table.padding_idx is not None:
        table.padding_idx = pad_id


def renumbered_ids(config: dict[str, Any], kept: Tensor) -> dict[str, int]:
    """What a configuration says of the vocabulary, after trimming: its size, and the special tokens' ids."""
    places = {old: new for new, old in enumerate(kept.tolist())}
    ids = {key: value for key, value in config.items() if key.endswith("_token_id") and isinstance(value, int)}
    return {"vocab_size": len(kept), **{key: places[value] for key, value in ids.items() if value in places}}


def _names(tokenizer: dict[str, Any]) -> dict[int, str]:
    vocab = tokenizer["model"]["vocab"]
    if isinstance(vocab, list):
        return {place: entry[0] for place, entry in enumerate(vocab)}
    return {place: name for name, place in vocab.items()}


def _is_byte(name: str) -> bool:
    return len(name) == 6 and name.startswith("<0x") and name.endswith(">")


def _pieces(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _stays(merge: Any, vocab: dict[str, int]) -> bool:
    left, right = _pieces(merge)
    return left in vocab and right in vocab and left + right in vocab


def _spelling_of_bpe(model: dict[str, Any], kept: set[int], names: dict[int, str]) -> set[int]:
    """Single symbols, and whatever the kept tokens may be merged from, down to them."""
    made_of: dict[str, list[str]] = {}
    for merge in model["merges"]:
        left, right = _pieces(merge)
        # Which of several ways to the same token is gone depends on what stands beside it.
        made_of.setdefault(left + right, []).extend((left, right))
    needed = {name for name in names.values() if name not in made_of}
    waiting = [names[place] for place in kept if place in names]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += made_of.get(name, ())
    return {model["vocab"][name] for name in needed if name in model["vocab"]}


def _renumbered(part: Any, places: dict[int, int]) -> Any:
    """A post-processor's special tokens under their new ids: ``["[SEP]", 102]`` and ``{"ids": [102]}``."""
    part = copy.deepcopy(part)
    if isinstance(part, dict):
        for key in ("sep", "cls"):
            if isinstance(part.get(key), list):
                part[key][1] = places[part[key][1]]
        for entry in (part.get("special_tokens") or {}).values():
            entry["ids"] = [places[place] for place in entry["ids"]]
        part["processors"] = [_renumbered(inner, places) for inner in part.get("processors", [])]
        if not part["processors"]:
            del part["processors"]
    return part
