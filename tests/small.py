"""The smallest real thing: a network of two blocks, a few hundred digits, a context."""

from pathlib import Path

import torch

from compressor.context import RunContext, Teacher
from compressor.data import Data
from compressor.data.load import load_data, shorten
from compressor.factories import build, parse_factory
from compressor.models import InputSpec, ModelInfo, TorchModel
from compressor.target import Target
from compressor.tasks import make_task

FACTORY = "compressor.factories.small_images:resnet"
ARGUMENTS = {"width": 16, "layers": [1, 1], "num_classes": 10, "in_channels": 1}


def small_data() -> Data:
    return shorten(load_data("digits"), 256, 128)


def small_model(seed: int = 0, width: int = 16) -> TorchModel:
    torch.manual_seed(seed)
    factory = parse_factory(FACTORY, {**ARGUMENTS, "width": width})
    data = small_data()
    shape = tuple(data.batch("train", torch.arange(1)).inputs[0].shape[1:])
    normalise = data.normalise
    inputs = InputSpec(shape=shape, mean=normalise.mean if normalise else (), std=normalise.std if normalise else ())
    info = ModelInfo(factory=factory, data="digits", inputs=(inputs,), classes=data.classes)
    return TorchModel(build(factory).eval(), info)


def small_context(workdir: Path, target: Target | None = None) -> RunContext:
    reference = small_model()
    return RunContext(
        task=make_task("image-classification"),
        data=small_data(),
        target=target or Target(runtime="onnxruntime"),
        reference=reference,
        teachers=(Teacher(reference),),
        workdir=workdir,
    )
