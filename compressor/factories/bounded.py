"""A network that a file asks for is built only as far as the file's weights can fill it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules import module as registry

from compressor.errors import ModelFileError

# A pruned network's factory builds what it was pruned from, and tied or unsaved tensors are built one by one.
MOST_GROWTH, MOST_PARTS = 1000, 20
# Nobody is kept from VGG-19, most of whose 144 million can be pruned away.
SMALL, FEW = 200_000_000, 20_000


@contextmanager
def at_most(values: int, tensors: int) -> Iterator[None]:
    """Stop a factory that registers far more than a file holds.

    Args:
        values: How many numbers the file's weights have.
        tensors: In how many tensors.

    Raises:
        ModelFileError: From inside the factory, before the memory is touched.
    """
    most = max(SMALL, MOST_GROWTH * values), max(FEW, MOST_PARTS * tensors)
    counted = [0, 0]

    def count(owner: nn.Module, name: str, part: Any) -> None:
        counted[0] += math.prod(getattr(part, "shape", ())) if not isinstance(part, nn.Module) else 0
        counted[1] += 1
        if counted[0] > most[0] or counted[1] > most[1]:
            raise ModelFileError(
                f"the factory builds a network of more than {counted[0]:,} numbers in {counted[1]:,} parts, and the "
                f"file has {values:,} in {tensors:,} tensors",
                "the --factory and --factory-arg that built the saved network",
            )

    handles = [
        registry.register_module_parameter_registration_hook(count),
        registry.register_module_buffer_registration_hook(count),
        registry.register_module_module_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
