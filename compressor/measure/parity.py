"""How far an exported file is from the torch form it was made of."""

import numpy as np
import numpy.typing as npt

from compressor.report import Parity


def parity(torch_outputs: npt.NDArray[np.float32], runtime_outputs: npt.NDArray[np.float32]) -> Parity:
    """Compare the logits of the same inputs.

    Agreement only means something on a trained network: one at chance agrees with anything that has
    the same favourite class. ``logit_std``, over samples and classes, is the yardstick for the errors.

    Args:
        torch_outputs: (N, classes).
        runtime_outputs: (N, classes).
    """
    errors = np.abs(torch_outputs.astype(np.float64) - runtime_outputs)
    same = torch_outputs.argmax(axis=1) == runtime_outputs.argmax(axis=1)
    return Parity(
        max_abs_error=float(errors.max()),
        mean_abs_error=float(errors.mean()),
        logit_std=float(torch_outputs.std()),
        agreement=float(same.mean()),
        samples=len(torch_outputs),
    )
