"""What stands beside a text network's file: configuration, tokenizer, how it is used, its weights for transformers."""

from typing import Any

from torch import Tensor, nn

from compressor.export.huggingface import write_configuration, write_huggingface
from compressor.factories.low_rank import RANK
from compressor.factories.sentence_network import EMBEDDING, POOLING
from compressor.factories.text_network import CLASSES, config_of, text_network
from compressor.models import ModelInfo, OnnxModel, QuantizedModel, TorchForm
from compressor.structure import apply_shapes, manifest_of
from compressor.writing import write_atomically

FOLDER = "transformers"
# What a run's model card says of the use of the file.
USAGE = "usage.md"
# What optimum opens an answer of its own kind with.
ORT = {"AutoModel": "ORTModelForCustomTasks"}
TEXT = """\
    from optimum.onnxruntime import {ort}
    model = {ort}.from_pretrained("this folder")

or, with onnxruntime, numpy and tokenizers alone: `python3 infer.py "a text"`.

{answers} Texts are cut at {longest} tokens; the vocabulary has {tokens:,}.

{weights}
"""
VECTORS = (
    "The answer to a text is a vector of {width} numbers, `sentence_embedding`: the {pooling},\n"
    "scaled to length 1 inside the file. The cosine between two vectors, which is the sum of the products of their\n"
    "numbers, is how alike the texts are, -1 to 1."
)
POOLED = {"mean": "mean of its tokens' states", "cls": "first token's state"}
OPENS = (
    "`transformers/` holds the same weights in float32, before rounding:\n"
    '`{opened}("this folder/transformers")` opens it.'
)
DOES_NOT_OPEN = (
    "`transformers/` holds the same weights in float32, before rounding. The transformers library can't build this\n"
    'network: {why}.\n`compressor.load_model("this folder/transformers")` can, by its `shapes.json`.'
)


def write_text_files(model: TorchForm, exported: OnnxModel) -> list[str]:
    """Write ``config.json``, the tokenizer, ``usage.md`` and ``transformers/`` beside an exported text network.

    Returns:
        What a reader of the report must know: whether transformers opens the weights.
    """
    folder, info = exported.path.parent, model.info
    assert info.factory is not None and info.tokenizer is not None
    write_configuration(info, folder)
    module = float_module(model)
    opens = write_huggingface(module, info, folder / FOLDER)
    why = "" if opens else _why(module, info)
    auto = CLASSES[info.factory.arguments["task"]]
    opened = "sentence_transformers.SentenceTransformer" if info.task == EMBEDDING else f"{auto}.from_pretrained"
    weights = OPENS.format(opened=opened) if opens else DOES_NOT_OPEN.format(why=why)
    usage = TEXT.format(
        ort=ORT.get(auto, auto.replace("Auto", "ORT", 1)),
        answers=_answers(info),
        longest=info.tokenizer.max_length,
        tokens=info.factory.arguments["config"]["vocab_size"],
        weights=weights,
    )
    write_atomically(folder / USAGE, usage.encode())
    return [] if opens else [f"transformers can't build the pruned network ({why}); ONNX Runtime and compressor can"]


def _answers(info: ModelInfo) -> str:
    """What is said of the network's answers."""
    assert info.factory is not None
    if info.task == EMBEDDING:
        config = config_of(info.factory.arguments["config"])
        return VECTORS.format(width=config.hidden_size, pooling=POOLED[getattr(config, POOLING, "mean")])
    return f"Classes: {', '.join(info.classes)}." if info.classes else "The answer to a text is one number."


def float_module(model: TorchForm) -> nn.Module:
    """The text network of a form, as a plain module with the form's weights."""
    if not isinstance(model, QuantizedModel):
        return model.module
    assert model.info.factory is not None
    module = apply_shapes(text_network(**model.info.factory.arguments), model.structure)
    state = model.module.state_dict()
    own: dict[str, Tensor] = module.state_dict()
    module.load_state_dict({key: state.get(key, value) for key, value in own.items()})
    return module.eval()


def _why(module: nn.Module, info: ModelInfo) -> str:
    """The first of what the configuration alone would give otherwise."""
    assert info.factory is not None
    if rank := info.factory.arguments["config"].get(RANK):
        return f"its word vectors are a table of {rank} columns and a linear layer, a form that it doesn't know"
    wanted: dict[str, Any] = manifest_of(text_network(**info.factory.arguments))["tensors"]
    have: dict[str, Any] = manifest_of(module)["tensors"]
    for name, shape in have.items():
        if wanted.get(name) != shape:
            return f"its configuration would give {name} the shape {wanted.get(name)}, pruned it has {shape}"
    return "its heads are fewer than its configuration can say"
