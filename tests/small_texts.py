"""The smallest real things for texts: a tiny encoder of any kind, sentences in its tokens, a context."""

import tempfile
from pathlib import Path
from typing import Any

import encoders
import torch

from compressor.context import RunContext, Teacher
from compressor.data import Data
from compressor.data.load import load_data
from compressor.data.tables import text_table
from compressor.loading import load_file
from compressor.models import QuantizedModel, TorchModel
from compressor.quantize import calibrate, capture, insert_quantizers, place
from compressor.structure import manifest_of
from compressor.target import Target
from compressor.tasks import make_task

KINDS = tuple(encoders.KINDS)
DECODERS = tuple(encoders.DECODERS)


def encoder(kind: str = "bert", **changes: Any) -> TorchModel:
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_file(encoders.encoder_folder(Path(folder), kind, **changes), task=changes.get("task"))
    assert isinstance(loaded, TorchModel)
    return loaded


def sentence_data(model: TorchModel | None = None, train: int = 96, test: int = 32) -> Data:
    with tempfile.TemporaryDirectory() as folder:
        data = text_table(encoders.sentence_folder(Path(folder), train, test), {}, ("bad", "good"), seed=0)
    return data if model is None else data.seen_by(model.info.tokenizer)


def text_context(workdir: Path, model: TorchModel, data: Data | None = None, **changes: Any) -> RunContext:
    settings: dict[str, Any] = {
        "task": make_task("text-classification"),
        "data": data or sentence_data(model),
        "target": Target(runtime="onnxruntime"),
        "reference": model,
        "teachers": (Teacher(model),),
        "workdir": workdir,
    }
    return RunContext(**{**settings, **changes})


def inputs_of(model: TorchModel, count: int = 6) -> tuple[torch.Tensor, ...]:
    """Sentences of several lengths, so that shorter ones are padded."""
    inputs = sentence_data(model).batch("train", torch.arange(count)).inputs
    assert bool((inputs[1] == 0).any())
    return inputs


def answers(model: TorchModel, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.module.eval()(*inputs)
    return logits


def quantized(model: TorchModel, target: Target | None = None) -> QuantizedModel:
    """The network's graph with calibrated quantizers."""
    assert model.info.tokenizer is not None
    inputs = inputs_of(model, 16)
    graph = capture(model.module, inputs, model.info.tokenizer.max_length)
    spec = place(graph, target or Target(runtime="onnxruntime"))
    insert_quantizers(graph, spec)
    calibrate(graph, [inputs])
    return QuantizedModel(graph.eval(), model.info, spec, manifest_of(model.module))


def task_context(folder: Path, task: str, **columns: Any) -> RunContext:
    """The network and the data that lie in a folder, as a run of this task has them, the network its own teacher."""
    model = load_file(folder / "network", task=task)
    assert isinstance(model, TorchModel)
    data = load_data(str(folder / "data"), args=columns, classes=model.info.classes).seen_by(model.info.tokenizer)
    return text_context(folder / "work", model, data, task=make_task(task), shared=folder)
