"""The weights of a Hugging Face folder in the library's own network, each tensor accounted for."""

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from compressor.errors import ModelFileError, UntrustedError
from compressor.extras import require
from compressor.loading.config_json import CONFIG, check_size

WEIGHTS, PICKLED = "model.safetensors", "pytorch_model.bin"


def weights_are_pickled(folder: Path, trust: bool) -> bool:
    """Whether a folder's weights are a pickle.

    Raises:
        ModelFileError: It has no weights.
        UntrustedError: They are a pickle, and ``trust`` is False.
    """
    pickled = not any(folder.glob("*.safetensors"))
    if pickled and not any(folder.glob("*.bin")):
        raise ModelFileError(f"{folder} has no {WEIGHTS}", "copy the folder again, whole")
    if pickled and not trust:
        raise UntrustedError(
            f"{folder / PICKLED} is a pickle, and reading it would run code from it",
            f"a folder with {WEIGHTS}, or --trust if you made the file",
        )
    return pickled


def pretrained(
    folder: Path, config: Any, kind: Any, pickled: bool, has_head: bool = True
) -> tuple[Any, tuple[str, ...]]:
    """A network with a folder's weights, and which tensors of its head had none.

    Args:
        folder: As ``save_pretrained`` wrote it.
        config: Its configuration object.
        kind: What builds the network, called as the library's Auto classes are.
        pickled: Its weights are a pickle, which is trusted.
        has_head: False of an encoder alone; whatever that may lack isn't used.

    Raises:
        ModelFileError: A file is damaged, or the weights aren't this network's.
    """
    library = require("transformers")
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    try:
        with torch.device("meta"):
            planned = kind.from_config(copy.deepcopy(config))
        check_size(folder, sum(tensor.numel() for tensor in planned.parameters()))
        network, loaded = kind.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=not pickled,
            attn_implementation="eager",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except ModelFileError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelFileError(f"{folder} can't be loaded: {type(error).__name__}: {reason}", "copy it again") from None
    body = f"{network.base_model_prefix}." if has_head else ""
    untrained = tuple(sorted(loaded["missing_keys"]))
    _check_weights(folder, body, untrained, loaded["mismatched_keys"])
    return network, untrained if body else ()


def _check_weights(folder: Path, body: str, missing: tuple[str, ...], mismatched: Collection[Any]) -> None:
    """Nothing but a head, and the pooler that belongs to it, may lack weights; others' names begin with ``body``."""
    hint = f"{CONFIG} and {WEIGHTS} of one and the same network"
    if mismatched:
        name, have, wanted = (part if isinstance(part, str) else tuple(part) for part in sorted(mismatched)[0])
        raise ModelFileError(f"{folder}: {name} has the shape {have}, by {CONFIG} it is {wanted}", hint)
    lost = [name for name in missing if name.startswith(body) and ".pooler." not in f".{name}"]
    if lost:
        shown = ", ".join(lost[:3])
        raise ModelFileError(f"{folder} has no weights for {len(lost)} of the network's tensors: {shown}", hint)
