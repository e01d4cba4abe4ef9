"""Which runner a form needs, and whether a target's runtime can run on this machine."""

from importlib.util import find_spec

import torch

from compressor.models import EngineModel, Form, OnnxModel
from compressor.runners.engine import EngineRunner
from compressor.runners.onnx import OnnxRunner
from compressor.runners.protocol import Runner
from compressor.runners.torch import TorchRunner
from compressor.target import Target


def runner_for(form: Form, target: Target, device: str = "cpu") -> Runner:
    """The runner of a form, not yet entered.

    Args:
        form: Any.
        target: Gives the thread count for ONNX Runtime.
        device: Where a torch form runs.
    """
    if isinstance(form, OnnxModel):
        return OnnxRunner(form.path, threads=target.threads)
    if isinstance(form, EngineModel):
        return EngineRunner(form.path)
    return TorchRunner(form.module, device)


def available(target: Target) -> str | None:
    """Why the target's runtime can't run on this machine; None where it can."""
    if target.runtime == "onnxruntime":
        return None
    if find_spec("tensorrt") is None:
        return "TensorRT is not installed on this machine"
    if not torch.cuda.is_available():
        return "there is no NVIDIA GPU on this machine"
    return None
