"""A Hugging Face folder to a form: configuration, safetensors and tokenizer; code that it names is never run."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file as read_safetensors
from torch import nn

from compressor.data.labels import listed, unnamed
from compressor.data.tokenizer import check_ids
from compressor.errors import InputError, ModelFileError, did_you_mean
from compressor.export.huggingface import PREFIX, SHAPES
from compressor.extras import require
from compressor.factories.sentence_network import EMBEDDING, POOLING
from compressor.factories.text_network import (
    CLASSES,
    config_of,
    is_text_network,
    reference_of,
    text_network,
    with_classes,
    wrapped,
)
from compressor.loading.config_json import CONFIG, check_vocabulary, read_config
from compressor.loading.image_folder import TASK as IMAGES
from compressor.loading.image_folder import is_image_folder, load_image_folder
from compressor.loading.pretrained import WEIGHTS, pretrained, weights_are_pickled
from compressor.loading.sentence_files import is_sentence_folder, longest_in, pooling_in
from compressor.loading.weights import load_tensors
from compressor.models import InputSpec, ModelInfo, TokenizerSpec, TorchModel
from compressor.reading import as_record, parse_json, read_json
from compressor.structure import apply_shapes, manifest_of

# What any of the library's tokenizers is saved as.
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
LONGEST = 512
DEFAULT_TASK = "text-classification"
# What the library's classifiers call their last layers, encoders and decoders.
HEADS = ("classifier.", "score.")


def is_huggingface(folder: Path) -> bool:
    """Whether a folder holds a network of transformers."""
    return (folder / CONFIG).is_file()


def load_huggingface(folder: Path, task: str | None = None, trust: bool = False) -> TorchModel:
    """Read a folder that ``save_pretrained`` wrote.

    A head that the folder has no weights for is drawn anew and listed in ``info.untrained``.

    Args:
        folder: With config.json, model.safetensors (or, with ``trust``, a pickled .bin) and, of texts, a tokenizer.
        task: Chooses the head; as the configuration says where None.
        trust: Read a pickle, which runs code.

    Raises:
        ModelFileError: A file is missing, damaged, or doesn't fit.
        InputError: transformers doesn't know this network, or there is no such task.
        UntrustedError: Its weights are a pickle.
        MissingError: transformers isn't installed.
    """
    # Nothing is fetched, whatever a configuration refers to.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    values = read_config(folder)
    if is_image_folder(values):
        if task not in (None, IMAGES):
            message = f"{folder} holds a network for images ({values.get('model_type')}), which has no task '{task}'"
            raise InputError(message, f"--task {IMAGES}")
        return load_image_folder(folder, values, trust)
    own = EMBEDDING if is_sentence_folder(folder) else _task_of(values)
    task = task or own
    if task not in CLASSES:
        known = ", ".join(CLASSES)
        raise InputError(f"no text task '{task}'{did_you_mean(task, CLASSES)}", f"--task with one of: {known}")
    if task == EMBEDDING and is_sentence_folder(folder):
        values[POOLING] = pooling_in(folder)
    config = config_of(values)
    pickled = weights_are_pickled(folder, trust)
    untrained: tuple[str, ...] = ()
    if (folder / SHAPES).is_file():
        module = _narrowed(folder, values, task)
    else:
        kind = getattr(require("transformers"), CLASSES[task])
        network, untrained = pretrained(folder, config, kind, pickled, has_head=task != EMBEDDING)
        module = wrapped(network, task)
    if task != own:
        # Another task's head is of no use, even where its shape fits.
        names = {name.removeprefix(PREFIX) for name, _ in module.named_parameters()}
        untrained = tuple(sorted({name for name in names if name.startswith(HEADS)}.union(untrained)))
    trained, named = not untrained, task not in ("text-regression", EMBEDDING)
    spec = tokenizer_of(folder, config)
    if task == EMBEDDING:
        longest = min(spec.max_length, longest_in(folder) or spec.max_length)
        spec = spec.model_copy(update={"apart": True, "max_length": longest})
    if task == "token-classification":
        spec = spec.model_copy(update={"content": for_words(spec.content)})
    config.architectures = [type(module.network).__name__]
    info = ModelInfo(
        factory=reference_of(config, task),
        task=task,
        inputs=tuple(InputSpec(name=name, shape=(-1,), dtype="int64", layout="NT") for name in spec.inputs),
        tokenizer=spec,
        classes=tuple(str(config.id2label[place]) for place in range(config.num_labels)) if trained and named else (),
        untrained=untrained,
    )
    return TorchModel(module.float().eval(), info)


def _narrowed(folder: Path, values: dict[str, Any], task: str) -> nn.Module:
    """A network with fewer heads than its configuration can say: built by it, then cut to the shapes beside it."""
    module = text_network(values, task)
    try:
        apply_shapes(module, read_json(folder / SHAPES, dict, "copy the folder again", ModelFileError))
        tensors = read_safetensors(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{folder} can't be loaded: {error}", "copy the folder again, whole") from None
    load_tensors(module, {f"{PREFIX}{name}": tensor for name, tensor in tensors.items()}, str(folder / WEIGHTS))
    return module


def _task_of(values: dict[str, Any]) -> str:
    """What a configuration says that its network does; a classifier where it doesn't say."""
    heads = [str(name) for name in values.get("architectures") or ()]
    if any(name.endswith("ForTokenClassification") for name in heads):
        return "token-classification"
    if not any(name.endswith("ForSequenceClassification") for name in heads):
        return DEFAULT_TASK
    # Of one class only there is nothing to tell apart: the library takes this for regression, too.
    is_value = values.get("problem_type") == "regression" or len(values.get("id2label") or "ab") == 1
    return "text-regression" if is_value else DEFAULT_TASK


def tokenizer_of(folder: Path, config: Any) -> TokenizerSpec:
    """The folder's tokenizer.

    Raises:
        ModelFileError: It has none, or one that only its own code could run.
    """
    library = require("transformers")
    hint = "save it beside the network: tokenizer.save_pretrained(folder)"
    # Without any, the library makes one that knows no words.
    if not any(found for pattern in TOKENIZERS for found in folder.glob(pattern)):
        raise ModelFileError(f"{folder} has no tokenizer: none of {', '.join(TOKENIZERS)}", hint)
    check_vocabulary(folder)
    try:
        made = library.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        content = made.backend_tokenizer.to_str()
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelFileError(
            f"{folder} has no tokenizer that can be read: {type(error).__name__}: {reason}", hint
        ) from None
    settings = folder / "tokenizer_config.json"
    takes_types = getattr(config, "type_vocab_size", 0) > 1
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if takes_types else [])]
    values = {
        "content": content,
        "config": read_json(settings, dict, "copy the folder again", ModelFileError) if settings.is_file() else {},
        "pad_id": made.pad_token_id if made.pad_token_id is not None else 0,
        "max_length": _longest(made, config),
        "inputs": tuple(inputs),
    }
    spec = as_record(TokenizerSpec, values, f"{folder}: its tokenizer", hint, ModelFileError)
    check_ids(spec, getattr(config, "vocab_size", None), getattr(config, "type_vocab_size", None), str(folder))
    return spec


def for_words(content: str) -> str:
    """A tokenizer that reads words which are split already as it reads them within a text, after a space."""
    tokenizer = parse_json(content, dict, "the tokenizer")
    before = tokenizer.get("pre_tokenizer") or {}
    for part in before.get("pretokenizers", [before]):
        if "add_prefix_space" in part:
            part["add_prefix_space"] = True
    return json.dumps(tokenizer, ensure_ascii=False)


def _longest(tokenizer: Any, config: Any) -> int:
    """Tokens that the network has positions for; RoBERTa's begin after the padding's id."""
    positions = getattr(config, "max_position_embeddings", LONGEST)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        positions -= (config.pad_token_id or 0) + 1
    longest = tokenizer.model_max_length
    return int(min(positions, longest)) if isinstance(longest, int | float) and longest == longest else 0


def head_for(model: TorchModel, classes: tuple[str, ...], seed: int) -> tuple[TorchModel, str]:
    """A text network with a head for these classes, and what had to be changed, in a sentence.

    A head that was never trained is drawn under the seed, and one of other classes too; one whose classes have no
    names of their own (``LABEL_0``, ...) stays where there are as many, and takes the names.

    Args:
        model: As it was loaded; other networks than classifiers are left alone.
        classes: The data's own, in their order; empty where its labels are no classes.
        seed: Draws the head.
    """
    info = model.info
    if info.untrained:
        return with_new_head(model, classes, seed), ""
    if not classes or not info.classes or classes == info.classes or not is_text_network(info.factory):
        return model, ""
    assert info.factory is not None
    if len(classes) == len(info.classes) and info.classes == unnamed(len(classes)):
        named = info.model_copy(update={"factory": with_classes(info.factory, classes), "classes": classes})
        return replace(model, info=named), f"the head's classes had no names: they are called {', '.join(classes)} now"
    head, data = (f"{len(names)} classes ({listed(names)})" for names in (info.classes, classes))
    return with_new_head(model, classes, seed), f"the head has {head}, the data {data}: a new head was made"


def with_new_head(model: TorchModel, classes: tuple[str, ...], seed: int) -> TorchModel:
    """The same network with a head for these classes, drawn under the seed; everything else keeps its weights."""
    assert model.info.factory is not None
    ref = with_classes(model.info.factory, classes)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = text_network(**ref.arguments)
    # A pruned network's body is narrower than its configuration says.
    body = f"{PREFIX}{module.network.base_model_prefix}"
    shapes, own = manifest_of(module), manifest_of(model.module)
    for part in ("tensors", "attributes"):
        shapes[part] |= {name: value for name, value in own[part].items() if name.startswith(body)}
    apply_shapes(module, shapes)
    state, drawn = model.module.state_dict(), module.state_dict()
    untrained = {f"{PREFIX}{name}" for name in model.info.untrained} or {
        key for key in state if key.removeprefix(PREFIX).startswith(HEADS)
    }
    kept = {key: value for key, value in state.items() if key not in untrained and value.shape == drawn[key].shape}
    module.load_state_dict(kept, strict=False)
    info = model.info.model_copy(update={"factory": ref, "classes": classes, "untrained": ()})
    return TorchModel(module.eval(), info)
