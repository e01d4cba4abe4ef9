"""A Hugging Face folder to a form: configuration, safetensors and tokenizer; code that it names is never run."""

import json
import os
from pathlib import Path
from typing import Any

from compressor.errors import ModelFileError, UntrustedError
from compressor.extras import require
from compressor.factories.text_network import CLASSES, TextNetwork, config_of, reference_of, text_network, with_classes
from compressor.models import InputSpec, ModelInfo, TokenizerSpec, TorchModel

CONFIG, WEIGHTS, PICKLED = "config.json", "model.safetensors", "pytorch_model.bin"
LONGEST = 512
DEFAULT_TASK = "text-classification"


def is_huggingface(folder: Path) -> bool:
    """Whether a folder holds a network of transformers."""
    return (folder / CONFIG).is_file()


def load_huggingface(folder: Path, task: str | None = None, trust: bool = False) -> TorchModel:
    """Read a folder that ``save_pretrained`` wrote.

    A head that the folder has no weights for is drawn anew and listed in ``info.untrained``.

    Args:
        folder: With config.json, model.safetensors (or, with ``trust``, a pickled .bin) and a tokenizer.
        task: Chooses the head; as the configuration says where None.
        trust: Read a pickle, which runs code.

    Raises:
        ModelFileError: A file is missing, damaged, or doesn't fit.
        InputError: transformers doesn't know this network.
        UntrustedError: Its weights are a pickle.
        MissingError: transformers isn't installed.
    """
    # Nothing is fetched, whatever a configuration refers to.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    library = require("transformers")
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFileError(f"{folder / CONFIG} is not JSON: {error}", "copy the folder again") from None
    config = config_of(values)
    task = task or DEFAULT_TASK
    pickled = not any(folder.glob("*.safetensors"))
    if pickled and not any(folder.glob("*.bin")):
        raise ModelFileError(f"{folder} has no {WEIGHTS}", "copy the folder again, whole")
    if pickled and not trust:
        raise UntrustedError(
            f"{folder / PICKLED} is a pickle, and reading it would run code from it",
            f"a folder with {WEIGHTS}, or --trust if you made the file",
        )
    kind = getattr(library, CLASSES[task])
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    try:
        network, loaded = kind.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=not pickled,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelFileError(f"{folder} can't be loaded: {type(error).__name__}: {reason}", "copy it again") from None
    untrained = tuple(sorted(loaded["missing_keys"]))
    trained = not untrained
    spec = tokenizer_of(folder, config)
    config.architectures = [type(network).__name__]
    info = ModelInfo(
        factory=reference_of(config, task),
        task=task,
        inputs=tuple(InputSpec(name=name, shape=(-1,), dtype="int64", layout="NT") for name in spec.inputs),
        tokenizer=spec,
        classes=tuple(str(config.id2label[place]) for place in range(config.num_labels)) if trained else (),
        untrained=untrained,
    )
    return TorchModel(TextNetwork(network.float()).eval(), info)


def tokenizer_of(folder: Path, config: Any) -> TokenizerSpec:
    """The folder's tokenizer.

    Raises:
        ModelFileError: It has none, or one that only its own code could run.
    """
    library = require("transformers")
    try:
        made = library.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        content = made.backend_tokenizer.to_str()
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelFileError(
            f"{folder} has no tokenizer that can be read: {type(error).__name__}: {reason}",
            "save it beside the network: tokenizer.save_pretrained(folder)",
        ) from None
    settings = folder / "tokenizer_config.json"
    takes_types = getattr(config, "type_vocab_size", 0) > 1
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if takes_types else [])]
    return TokenizerSpec(
        content=content,
        config=json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {},
        pad_id=made.pad_token_id if made.pad_token_id is not None else 0,
        max_length=_longest(made, config),
        inputs=tuple(inputs),
    )


def _longest(tokenizer: Any, config: Any) -> int:
    """Tokens that the network has positions for; RoBERTa's begin after the padding's id."""
    positions = getattr(config, "max_position_embeddings", LONGEST)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        positions -= (config.pad_token_id or 0) + 1
    return int(min(positions, tokenizer.model_max_length))


def with_new_head(model: TorchModel, classes: tuple[str, ...]) -> TorchModel:
    """The same network with a head for these classes, drawn anew; everything else keeps its weights."""
    assert model.info.factory is not None
    ref = with_classes(model.info.factory, classes)
    module = text_network(**ref.arguments)
    known, own = model.module.state_dict(), module.state_dict()
    kept = {key: value for key, value in known.items() if key in own and own[key].shape == value.shape}
    module.load_state_dict(kept, strict=False)
    info = model.info.model_copy(update={"factory": ref, "classes": classes, "untrained": ()})
    return TorchModel(module.eval(), info)
