"""An exported file loaded and asked once, before anything is trained for it."""

import numpy as np
from torch import Tensor

from compressor.errors import PlanError
from compressor.models import OnnxModel, TorchForm
from compressor.runners import OnnxRunner, TorchRunner, arrays_of

# Of the answers' spread. The ranges are those of a few samples: only what is no answer at all is above.
FAR = 0.5


def try_file(model: TorchForm, file: OnnxModel, inputs: tuple[Tensor, ...]) -> list[str]:
    """Load a file in ONNX Runtime, call it once, and compare with the form that it was made of.

    Returns:
        A sentence where the answers differ by more than rounding explains.

    Raises:
        PlanError: The file can't be loaded or called, or its answers have another shape or aren't finite.
    """
    try:
        with OnnxRunner(file.path) as runner:
            found = runner.infer(arrays_of(inputs))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise PlanError(
            f"ONNX Runtime can't run the exported graph: {reason}",
            "another target.opset, or a network without the operator that is named",
        ) from error
    with TorchRunner(model.module) as own:
        expected = own.infer(arrays_of(inputs))
    if found.shape != expected.shape:
        raise PlanError(
            f"the exported graph gives answers of shape {found.shape}, the network of {expected.shape}",
            "a forward whose outputs don't depend on Python's own numbers, such as the size of a batch",
        )
    if np.isfinite(expected).all() and not np.isfinite(found).all():
        raise PlanError("the exported graph gives values that are not finite where the network's are", "report this")
    off = float(np.abs(found - expected).mean())
    spread = float(expected.std())
    if off > FAR * spread and spread > 0:
        return [f"on {len(found)} samples the file's answers are {off / spread:.2g} of their spread off the network's"]
    return []
