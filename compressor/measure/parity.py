"""How far an exported file is from the torch form it was made of."""

import numpy as np
import numpy.typing as npt

from compressor.report import Parity
from compressor.tasks import AnswerKind

# Numbers agree where they differ by less than this share of their spread.
NEAR = 0.05
# Vectors agree where the cosine between them is at least this.
SAME_DIRECTION = 0.99


def parity(
    torch_outputs: npt.NDArray[np.float32], runtime_outputs: npt.NDArray[np.float32], *, answers: AnswerKind = "classes"
) -> Parity:
    """Compare the answers to the same inputs.

    Agreement only means something on a trained network: one at chance agrees with anything that has
    the same favourite class. ``logit_std``, over samples and classes, is the yardstick for the errors.

    Args:
        torch_outputs: (N, classes), or (N, rows, classes) where rows of zeros are none.
        runtime_outputs: The same.
        answers: What they are. Of classes the top one must be the same; numbers, (N, numbers), must differ by less
            than 5 % of the spread (root mean square over a sample's numbers); between vectors the cosine must be at
            least 0.99.
    """
    samples = len(torch_outputs)
    if torch_outputs.ndim == 3:
        there = (torch_outputs != 0).any(axis=2)
        torch_outputs, runtime_outputs = torch_outputs[there], runtime_outputs[there]
    errors = np.abs(torch_outputs.astype(np.float64) - runtime_outputs)
    if answers == "vectors":
        lengths = np.linalg.norm(torch_outputs, axis=1) * np.linalg.norm(runtime_outputs, axis=1)
        same = (torch_outputs.astype(np.float64) * runtime_outputs).sum(axis=1) >= SAME_DIRECTION * lengths
    elif answers == "values":
        same = np.sqrt((errors**2).mean(axis=1)) <= NEAR * torch_outputs.std()
    else:
        same = torch_outputs.argmax(axis=1) == runtime_outputs.argmax(axis=1)
    return Parity(
        max_abs_error=float(errors.max()),
        mean_abs_error=float(errors.mean()),
        logit_std=float(torch_outputs.std()),
        agreement=float(same.mean()),
        samples=samples,
    )
