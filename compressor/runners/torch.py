"""A torch module as a runner."""

import contextlib
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from compressor.copies import copy_of
from compressor.runners.protocol import Arrays


class TorchRunner:
    """Runs a copy of a module in eval mode, in the memory format and precision it came in.

    Args:
        module: Left untouched; it may be trained on while the copy runs.
        device: Where the copy goes, ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, module: nn.Module, device: str = "cpu") -> None:
        self._source = module
        self._device = device
        self._module: nn.Module | None = None

    @property
    def name(self) -> str:
        """``"torch 2.14.1 cpu"``."""
        return f"torch {torch.__version__} {self._device}"

    def infer(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        """The logits for a batch, float32."""
        assert self._module is not None, "TorchRunner.infer outside of its 'with' block"
        tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in inputs)
        with torch.no_grad():
            logits: Tensor = self._module(*tensors)
        array: npt.NDArray[np.float32] = logits.float().cpu().numpy()
        return array

    def __enter__(self) -> Self:
        """Copy the module to the device."""
        module = copy_of(self._source).to(self._device)
        # The module of an exported program has no modes and refuses to change them.
        with contextlib.suppress(NotImplementedError):
            module.eval()
        self._module = module
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the copy."""
        self._module = None
