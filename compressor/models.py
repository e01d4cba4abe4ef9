"""The forms a model takes on its way, and what travels with it from form to form."""

import functools
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from torch import fx, nn


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _is_name(text: str) -> str:
    """What may be typed, printed and given to a file system."""
    if not text.isprintable():
        raise ValueError("wanted text without control characters")
    return text


def _is_sample(shape: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(side for side in shape if side > 0) > LARGEST_SAMPLE:
        raise ValueError(f"wanted at most {LARGEST_SAMPLE} values a sample")
    return shape


# Of one sample: a video of a minute has as many.
LARGEST_SAMPLE = 2**30
Name = Annotated[str, Field(max_length=255), AfterValidator(_is_name)]
Spec = Annotated[str, Field(max_length=4096), AfterValidator(_is_name)]
Side = Annotated[int, Field(strict=True, ge=-1, le=LARGEST_SAMPLE)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class FactoryRef(_Frozen):
    """The callable that builds a network, by name, and the arguments it is called with."""

    reference: Name = Field(description="'package.module:callable'")
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments, JSON values")


class InputSpec(_Frozen):
    """What the network expects of one sample, after preprocessing.

    ``mean`` and ``std`` are per channel, applied to values already scaled to 0..1; empty where the
    data is not images or arrives normalised.
    """

    name: Name = "input"
    shape: Annotated[tuple[Side, ...], Field(max_length=8), AfterValidator(_is_sample)] = Field(
        description="one sample without its batch axis, (C, H, W) for images; -1 where the size is the sample's own"
    )
    dtype: Literal["float32", "int64"] = "float32"
    layout: Name = "NCHW"
    mean: tuple[Number, ...] = ()
    std: tuple[Number, ...] = ()


class TokenizerSpec(_Frozen):
    """What turns text into a network's inputs, whole, so that it travels with the network."""

    content: str = Field(description="a tokenizer.json, as the tokenizers library reads it")
    config: dict[str, Any] = Field(default_factory=dict, description="a tokenizer_config.json")
    pad_id: int = Field(default=0, ge=0, description="fills up short samples of a batch")
    max_length: int = Field(default=512, ge=2, description="tokens; longer text is cut off")
    inputs: tuple[str, ...] = Field(
        default=("input_ids", "attention_mask"), description="in the order in which the network takes them"
    )
    apart: bool = Field(default=False, description="the two texts of a pair are two sequences, and not joined to one")

    @property
    def digest(self) -> str:
        """Equal where texts become equal inputs."""
        return _digest(self.content, self.pad_id, self.max_length, self.inputs, self.apart)


@functools.lru_cache(maxsize=32)
def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class OutputRule(_Frozen):
    """How one tensor, a row a sample, is had from what a network's forward gives.

    Paths are keys, names and places: ``"logits"``, ``"0"``, ``"1.logits"``; empty is the output itself.
    """

    eval: str = Field(default="", description="where the answers are in what forward gives in eval mode")
    training: str = Field(default="", description="the same in training mode")
    keeps_batch: bool = Field(default=False, description="squeeze() leaves a batch of one its first axis")
    ends: Literal["", "softmax", "log_softmax", "sigmoid"] = Field(
        default="", description="what the network ends in; answers are taken before a softmax or sigmoid"
    )
    dropped: tuple[str, ...] = Field(default=(), description="heads that only give what isn't taken, taken out")

    @property
    def watches(self) -> bool:
        """Whether the forward itself has to be watched."""
        return self.keeps_batch or self.ends in ("softmax", "sigmoid")

    @property
    def changes(self) -> bool:
        """Whether the network answers otherwise than without the rule."""
        return bool(self.eval or self.training or self.dropped) or self.watches


class ModelInfo(_Frozen):
    """What a model file says about itself, and what every artifact made from it repeats."""

    factory: FactoryRef | None = None
    task: Name = "image-classification"
    data: Spec | None = Field(default=None, description="the data spec it was trained on")
    data_args: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[InputSpec, ...] = ()
    tokenizer: TokenizerSpec | None = None
    classes: tuple[str, ...] = ()
    output: OutputRule | None = Field(default=None, description="None where forward gives one tensor of logits")
    untrained: tuple[str, ...] = Field(default=(), description="weights that the file lacks, drawn anew: a new head's")
    source: str = Field(default="", description="the file it was read from, for the report")
    sha256: str = Field(default="", description="of the file, or of the weights where there is no file")
    notes: tuple[str, ...] = Field(
        default=(), exclude=True, description="what was chosen while the file was read; never said by a file itself"
    )


WeightBits = Literal[4, 7, 8]


class Quantizer(_Frozen):
    """One place in the graph where values become integers.

    Args:
        name: Unique; the name of the quantizer's submodule in the graph.
        node: The ``torch.export`` graph node whose output (activation) or whose weight (weight) it takes.
        role: What it quantizes.
        dtype: ``uint8`` asymmetric, or ``int8`` symmetric with zero_point 0.
        axis: The channel axis of a per-channel weight quantizer; None is per-tensor.
        users: The node names that read the quantized value; empty means every user.
        shares: Name of the quantizer whose scale this one shares; empty for its own.
        bits: Of a weight, how many of int8 it uses; those of 4 are packed in the file.
    """

    name: str
    node: str
    role: Literal["activation", "weight"]
    dtype: Literal["uint8", "int8"]
    axis: int | None = None
    users: tuple[str, ...] = ()
    shares: str = ""
    bits: WeightBits = 8


Activations = Literal["keep", "relu"]


class QuantizationSpec(_Frozen):
    """Everything needed to insert the same quantizers into the same graph again.

    ``scheme`` names the placement rules (see ``compressor.quantize.placement``), ``rest`` the type of
    what stays float in the exported file, ``activations`` is "relu" where those that are slow in integers became that,
    ``float_layers`` maps each layer left in float to the reason;
    ``slower`` says by how much the whole is slower than in float, where it is and was therefore not trained.
    Node names are torch's own, so ``torch_version`` is checked on loading.
    """

    scheme: Literal["onnxruntime-cpu", "tensorrt"]
    rest: Literal["float32", "float16"] = "float32"
    activations: Activations = "keep"
    quantizers: tuple[Quantizer, ...]
    float_layers: dict[str, str] = Field(default_factory=dict)
    slower: str = ""
    torch_version: str

    @model_validator(mode="after")
    def _names_are_known(self) -> "QuantizationSpec":
        kinds = {quantizer.name: quantizer for quantizer in self.quantizers}
        if len(kinds) != len(self.quantizers):
            raise ValueError("two quantizers have one name")
        for quantizer in self.quantizers:
            if not quantizer.name.isidentifier():
                raise ValueError(f"{quantizer.name[:80]!r} is no name of a quantizer")
            if quantizer.role == "weight" and quantizer.axis is None:
                raise ValueError(f"'{quantizer.name}' takes a weight and has no axis")
            source = kinds.get(quantizer.shares)
            if quantizer.shares and (source is None or source.shares or source.role == "weight"):
                raise ValueError(f"'{quantizer.name}' shares the scale of one that has none of its own")
        return self


@dataclass(frozen=True, slots=True)
class TorchModel:
    """An eager module that can be trained and pruned.

    ``builder`` gives the untouched architecture with fresh weights; it is how a module that came
    from Python without a factory is rebuilt inside the same process.
    """

    module: nn.Module
    info: ModelInfo
    builder: Callable[[], nn.Module] | None = None


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """A trainable graph with quantizers.

    ``structure`` is the manifest of the float module that the graph was exported from (see
    ``compressor.structure``); with ``spec`` it rebuilds the graph.
    """

    module: fx.GraphModule
    info: ModelInfo
    spec: QuantizationSpec
    structure: Mapping[str, Any]
    builder: Callable[[], nn.Module] | None = None


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """An ONNX file. ``precision`` is what its weights are stored in."""

    path: Path
    info: ModelInfo
    precision: Literal["fp32", "fp16", "int8"] = "fp32"


@dataclass(frozen=True, slots=True)
class EngineModel:
    """A TensorRT engine file, valid on the device it was built on."""

    path: Path
    info: ModelInfo
    precision: Literal["fp32", "fp16", "int8"] = "int8"
    device: str = field(default="")


FORM_NAMES = {
    TorchModel: "torch module",
    QuantizedModel: "quantized graph",
    OnnxModel: "ONNX file",
    EngineModel: "TensorRT engine",
}
Form = TorchModel | QuantizedModel | OnnxModel | EngineModel
TorchForm = TorchModel | QuantizedModel
