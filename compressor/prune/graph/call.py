"""One operator's call as the rules see it: its arguments by name, its tensors' axes, and what they may say of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from compressor.prune.graph.labels import Axes, Axis, Labels, Uniform
from compressor.prune.graph.trace import Known


@dataclass
class Call:
    """One operator's call, as rules see it."""

    known: Known
    func: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[Tensor]
    where: str
    bounds: tuple[int, int, int, int] | None = None

    @property
    def labels(self) -> Labels:
        """All channels'."""
        return self.known.trace.labels

    def argument(self, name: str, otherwise: Any = None) -> Any:
        """An argument by its name in the operator's schema, given or by default."""
        for at, known in enumerate(self.func._schema.arguments):  # noqa: SLF001 - see operator_name
            if known.name == name:
                if name in self.kwargs:
                    return self.kwargs[name]
                if at < len(self.args):
                    return self.args[at]
                return known.default_value if known.has_default_value() else otherwise
        return otherwise

    def axes(self, tensor: Tensor | None) -> Axes:
        """A tensor's."""
        return () if tensor is None else self.known.axes(tensor)

    def match(self, *axes: Axis) -> Axis:
        """Unite axes of one length."""
        return self.labels.match(list(axes), f"meets a tensor of a size of its own ({self.where})")

    def fix(self, *axes: Axis) -> None:
        """Leave these whole."""
        for axis in axes:
            self.labels.fix(axis, f"can't be followed through {self.where}")

    def make(self, axis: Axis, *weights: Tensor) -> Axis:
        """A contraction's output axis; of a weight it is where pruning starts."""
        if isinstance(axis, np.ndarray) and all(self.known.derived(weight) for weight in weights):
            self.known.trace.made.append(axis)
        return axis

    def contract(self, one: Axis, other: Axis) -> None:
        """Two axes that are multiplied and summed over."""
        found = self.match(one, other)
        if isinstance(one, Uniform) or isinstance(other, Uniform):
            self.fix(one, other)
        del found

    def blur(self, axis: Axis) -> None:
        """Something is computed over all channels of this axis."""
        if isinstance(axis, np.ndarray):
            self.known.trace.blurred.append(axis)
