"""What every runner is: a context manager that turns inputs into logits."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Arrays = tuple[npt.NDArray[Any], ...]


def arrays_of(inputs: tuple[Tensor, ...]) -> Arrays:
    """One call's inputs as runners want them."""
    return tuple(np.ascontiguousarray(tensor.cpu().numpy()) for tensor in inputs)


def as_network(runner: "Runner") -> Callable[..., Tensor]:
    """A runner called as a network is: with tensors, for a tensor on the CPU."""
    return lambda *inputs: torch.from_numpy(runner.infer(arrays_of(inputs)))


class Runner(Protocol):
    """A loaded model. Enter it to load, leave it to free; ``infer`` works in between."""

    @property
    def name(self) -> str:
        """Runtime, version and device, ``"onnxruntime 1.32.0 CPUExecutionProvider"``."""
        ...

    def infer(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        """The logits for a batch.

        Args:
            inputs: The call's arguments in the network's order, first axis is the batch.
        """
        ...

    def __enter__(self) -> Self:
        """Load the model."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free what was loaded."""
        ...
