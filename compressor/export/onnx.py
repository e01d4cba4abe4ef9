"""A torch form as one ONNX file: dynamic batch, checked, with the input contract in its metadata."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnx
import torch
from torch import Tensor, fx, nn

from compressor.axes import dynamic_axes
from compressor.copies import copy_of
from compressor.errors import StageError
from compressor.export.floats import keep_floats
from compressor.export.half import to_half
from compressor.export.integers import (
    look_up_integers,
    pack_four_bits,
    store_integer_biases,
    store_integer_weights,
)
from compressor.export.last_graphs import LastGraphs
from compressor.export.pairs import name_pairs, without_pairs
from compressor.export.program import program_of
from compressor.export.sums import keep_sums_apart, name_axes_small
from compressor.factories.sentence_network import EMBEDDING
from compressor.graphs import merged_branches, simplified, with_open_sizes
from compressor.models import InputSpec, ModelInfo, OnnxModel, QuantizedModel, TorchForm, TorchModel
from compressor.tasks import modality_of
from compressor.user_code import reason_of
from compressor.writing import write_atomically

# What a task's answers are called in the file; others are logits.
OUTPUT_NAMES = {EMBEDDING: "sentence_embedding"}
OUTPUT_NAME = "logits"
PREFIX = "compressor."
# What the file says of branches that became one convolution.
MERGED = "merged_branches"
# The newest operator set that torch's exporter of TorchScript knows.
OLD_EXPORTER = 20
LAST_GRAPHS = LastGraphs()


def export_onnx(form: TorchForm, path: Path, example_inputs: tuple[Tensor, ...], *, opset: int = 20) -> OnnxModel:
    """Write a torch form as one ONNX file, atomically.

    The network is copied to the CPU and put in eval mode first. Inputs are named after
    ``form.info.inputs``, the output is ``logits`` (of sentence embeddings ``sentence_embedding``), the first axis of
    each is ``batch``. A quantized
    graph is written with int8 weights, and in half precision where its spec says so; graph inputs
    and outputs stay float32.

    Args:
        form: Left untouched.
        path: Where to; the folder is made.
        example_inputs: At least two samples (one would fix the batch size).
        opset: ONNX operator set.

    Raises:
        StageError: The network can't be exported, with the cause; nothing is written.
        DiskFullError: No space for the file.
    """
    return write_graph(graph_of(form, example_inputs, opset=opset), form, path)


def graph_of(form: TorchForm, example_inputs: tuple[Tensor, ...], *, opset: int = 20) -> onnx.ModelProto:
    """A torch form as an ONNX graph whose weights are float; each quantizer is a Q/DQ pair of its name.

    Raises:
        StageError: The network can't be exported, with the cause.
    """
    inputs = tuple(tensor.detach().cpu().contiguous() for tensor in example_inputs)
    names = _input_names(form.info, len(inputs))
    longest = modality_of(form.info.task).longest(form.info)
    output = OUTPUT_NAMES.get(form.info.task, OUTPUT_NAME)

    def make() -> onnx.ModelProto:
        module = copy_of(form.module).cpu().eval()
        return _to_proto(module, inputs, (names, output), opset, longest, is_float=isinstance(form, TorchModel))

    if not isinstance(form, QuantizedModel):
        return make()
    shapes = tuple((tuple(tensor.shape), tensor.dtype) for tensor in inputs)
    return LAST_GRAPHS.get(form.module, (form.spec, shapes, names, output, opset, longest), make)


def write_graph(proto: onnx.ModelProto, form: TorchForm, path: Path, keep: Collection[str] | None = None) -> OnnxModel:
    """Finish a form's graph for its runtime and write it, atomically.

    Args:
        proto: From ``graph_of`` of this form; left untouched.
        form: Its description goes into the file.
        path: Where to; the folder is made.
        keep: Names of the quantizers that the file has, None for all: the same network in float, or partly so,
            without another export.

    Raises:
        StageError: The graph isn't valid.
        DiskFullError: No space for the file.
    """
    whole, proto = proto, onnx.ModelProto()
    proto.CopyFrom(whole)
    is_integer = isinstance(form, QuantizedModel) and (keep is None or bool(keep))
    if isinstance(form, QuantizedModel):
        if keep is not None:
            without_pairs(proto, {one.name for one in form.spec.quantizers} - set(keep))
        narrow = store_integer_weights(proto)
        look_up_integers(proto)
        if form.spec.scheme == "onnxruntime-cpu":
            store_integer_biases(proto)
            keep_floats(proto)
        pack_four_bits(proto, narrow)
        if form.spec.rest == "float16":
            to_half(proto)
    if not (isinstance(form, QuantizedModel) and form.spec.scheme == "tensorrt"):
        keep_sums_apart(proto)
    _write_metadata(proto, form, is_integer)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        message = f"the exported graph for {path} is not valid ONNX: {error}"
        raise StageError(message, "this is a fault of the exporter; report it with the model") from error
    write_atomically(path, proto.SerializeToString(deterministic=True))
    return OnnxModel(path, form.info, "int8" if is_integer else "fp32")


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata that ``export_onnx`` wrote into a file, without the prefix."""
    proto = onnx.load(path, load_external_data=False)
    return {p.key.removeprefix(PREFIX): p.value for p in proto.metadata_props if p.key.startswith(PREFIX)}


def _to_proto(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: tuple[list[str], str],
    opset: int,
    longest: int | None,
    *,
    is_float: bool,
) -> onnx.ModelProto:
    axes = dynamic_axes(inputs, longest)
    try:
        with quiet(), torch.no_grad():
            if isinstance(module, torch.jit.ScriptModule):
                return _script_to_proto(module, inputs, names, opset)
            given = simplified(module, inputs, axes) if is_float else module
            said = merged_branches(given)
            traced = program_of(given, inputs, axes) if isinstance(given, fx.GraphModule) else given
            program = with_open_sizes(
                given,
                lambda: torch.onnx.export(
                    traced,
                    inputs,
                    dynamo=True,
                    opset_version=opset,
                    input_names=names[0],
                    output_names=[names[1]],
                    dynamic_shapes=axes,
                    external_data=False,
                    verbose=False,
                ),
            )
    except (Exception, SystemExit) as error:
        cause = error.__cause__ or error
        message = f"{type(module).__name__} can't be exported to ONNX: {reason_of(cause)}"
        hint = "a forward without data-dependent Python control flow"
        raise StageError(message, hint) from error
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    name_pairs(proto)
    name_axes_small(proto)
    _drop_traces(proto)
    if said:
        proto.metadata_props.add(key=PREFIX + MERGED, value=said)
    return proto


def _script_to_proto(
    module: torch.jit.ScriptModule, inputs: tuple[Tensor, ...], names: tuple[list[str], str], opset: int
) -> onnx.ModelProto:
    """By torch's older exporter, which alone reads TorchScript; for measuring a file, not for an artifact."""
    written = io.BytesIO()
    torch.onnx.export(
        module,
        inputs,
        written,  # type: ignore[arg-type]
        dynamo=False,
        opset_version=min(opset, OLD_EXPORTER),
        input_names=names[0],
        output_names=[names[1]],
        dynamic_axes={name: {0: "batch"} for name in (*names[0], names[1])},
    )
    return onnx.load_model_from_string(written.getvalue())


def _drop_traces(proto: onnx.ModelProto) -> None:
    """Remove the exporter's notes on every node: source paths of this machine, and many kilobytes."""
    graph = proto.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (proto, graph, *graph.node, *values, *proto.functions):
        del part.metadata_props[:]
    for node in graph.node:
        node.ClearField("doc_string")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's warnings, prints and log lines to itself; its errors are raised, and pass."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        said = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _input_names(info: ModelInfo, count: int) -> list[str]:
    if len(info.inputs) == count:
        return [spec.name for spec in info.inputs]
    return ["input"] if count == 1 else [f"input_{place}" for place in range(count)]


def _write_metadata(proto: onnx.ModelProto, form: TorchForm, is_integer: bool) -> None:
    info = form.info
    names = [given.name for given in proto.graph.input]
    proto.producer_name = "compressor"
    proto.producer_version = _version()
    entries = {
        "version": _version(),
        "torch_version": torch.__version__,
        "task": info.task,
        "classes": json.dumps(info.classes),
        "inputs": json.dumps([_contract(spec) for spec in info.inputs]),
        "input_names": json.dumps(names),
        "output": proto.graph.output[0].name,
    }
    if is_integer and isinstance(form, QuantizedModel):
        entries["scheme"] = form.spec.scheme
    for key, value in entries.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = PREFIX + key, value


def _contract(spec: InputSpec) -> dict[str, object]:
    """What to feed: a sample's shape, and how 0..255 pixels become network inputs."""
    contract: dict[str, object] = spec.model_dump(mode="json")
    if spec.mean:
        contract["range"] = [0, 255]
        contract["preprocessing"] = "(pixel / 255 - mean) / std, per channel"
    return contract


def _version() -> str:
    try:
        return version("compressor")
    except PackageNotFoundError:
        return "unknown"
