"""Networks of the transformers library as plain modules: token ids in, one tensor out, built from a configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from compressor.errors import InputError, did_you_mean
from compressor.extras import require
from compressor.factories.low_rank import RANK, use_low_rank
from compressor.factories.own_heads import give_own_heads
from compressor.factories.sentence_network import EMBEDDING, POOLING, SentenceNetwork
from compressor.models import FactoryRef, TorchModel

REFERENCE = "compressor.factories.text_network:text_network"
# Which of transformers' classes has the head of a task.
CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "text-regression": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    EMBEDDING: "AutoModel",
}


class TextNetwork(nn.Module):
    """A network of transformers that takes token ids by position and gives its logits, or its one number.

    Args:
        network: With attention computed step by step ("eager"): its matrices can be listened to, and it
            exports to fewer operators.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Logits of token ids, a mask of real tokens, and which text each is of, (N, tokens) each.

        (N, classes), or for tags of tokens (N, tokens, classes).
        """
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: Tensor = self.network(
            input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **more
        ).logits
        return logits


def text_network(config: Mapping[str, Any], task: str = "text-classification") -> TextNetwork | SentenceNetwork:
    """Build an untrained network.

    Args:
        config: As in a ``config.json``, with its ``model_type``; code that it names isn't run.
        task: Chooses the head.

    Raises:
        InputError: No such task, or transformers has no such network for it.
        MissingError: transformers isn't installed.
    """
    library = require("transformers")
    if task not in CLASSES:
        raise InputError(f"no text task '{task}'{did_you_mean(task, CLASSES)}", f"one of: {', '.join(CLASSES)}")
    kind = getattr(library, CLASSES[task])
    try:
        made = kind.from_config(config_of(config), attn_implementation="eager")
    except ValueError as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"transformers builds no {task} network of this configuration: {reason}", "--task") from None
    if config.get(RANK):
        use_low_rank(made, config[RANK])
    return wrapped(made, task)


def wrapped(network: nn.Module, task: str) -> TextNetwork | SentenceNetwork:
    """A network of transformers as the plain module that a task needs.

    Raises:
        InputError: Its configuration names a pooling that isn't there.
    """
    config: Any = network.config
    # Whole texts are read once: there is no next token to keep keys and values for.
    config.use_cache = False
    give_own_heads(network)
    if task != EMBEDDING:
        return TextNetwork(network)
    return SentenceNetwork(network, getattr(config, POOLING, "mean"))


def config_of(values: Mapping[str, Any]) -> Any:
    """The configuration object of transformers' own class for its ``model_type``.

    Raises:
        InputError: transformers doesn't know the type, or a value isn't of its type.
    """
    library = require("transformers")
    plain = {key: value for key, value in values.items() if key not in ("auto_map", "transformers_version")}
    kind = str(plain.pop("model_type", ""))
    if kind not in library.CONFIG_MAPPING:
        near = did_you_mean(kind, list(library.CONFIG_MAPPING))
        raise InputError(
            f"transformers {library.__version__} has no network of type '{kind}'{near}",
            "a folder whose config.json has a model_type of the library's; code beside a model is never run",
        )
    try:
        return library.AutoConfig.for_model(kind, **plain)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(f"transformers takes no such configuration of a {kind}: {reason}", "config.json") from None


def reference_of(config: Any, task: str) -> FactoryRef:
    """The factory of a configuration object, as plain values."""
    values = {key: value for key, value in said_by(config).items() if value is not None}
    return FactoryRef(
        reference=REFERENCE, arguments={"config": {**values, "model_type": config.model_type}, "task": task}
    )


def said_by(config: Any) -> dict[str, Any]:
    """What a configuration object says that its class doesn't by itself, as in a ``config.json``.

    The width of a head always, where it has one: left out as the usual one, it would follow from another width.
    """
    values: dict[str, Any] = config.to_diff_dict()
    if getattr(config, "head_dim", None):
        values["head_dim"] = config.head_dim
    return values


def is_text_network(ref: FactoryRef | None) -> bool:
    """Whether a factory is this one."""
    return ref is not None and ref.reference == REFERENCE


def changed(ref: FactoryRef, **values: Any) -> FactoryRef:
    """The factory with some of its configuration changed, under transformers' common names for them.

    ``num_hidden_layers`` is understood by networks that call it otherwise; with ``kept_layers`` those stay of what
    decoders list for each layer.
    """
    config = config_of(ref.arguments["config"])
    if "kept_layers" in values and getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[place] for place in values["kept_layers"]]
    for name, value in values.items():
        setattr(config, name, value)
    return reference_of(config, ref.arguments["task"])


def build_changed(model: TorchModel, **values: Any) -> TorchModel:
    """A network of a changed configuration and fresh weights."""
    assert model.info.factory is not None
    ref = changed(model.info.factory, **values)
    return TorchModel(text_network(**ref.arguments).eval(), model.info.model_copy(update={"factory": ref}))


def with_classes(ref: FactoryRef, classes: Sequence[str]) -> FactoryRef:
    """The factory with a head of these classes, for regression of one number."""
    values = {"problem_type": "regression"} if ref.arguments["task"] == "text-regression" else {}
    names = dict(enumerate(classes or ("LABEL_0",) if values else classes))
    return changed(ref, id2label=names, label2id={name: place for place, name in names.items()}, **values)
