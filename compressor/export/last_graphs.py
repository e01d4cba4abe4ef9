"""The last graphs that were exported: a run asks for that of one quantized network several times in a row."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator

import onnx
import torch
from torch import Tensor, fx, nn

from compressor.digests import module_digest

KEPT = 2


class LastGraphs:
    """A few graphs by the network they were made of; what is asked for is a copy of one's own."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, onnx.ModelProto] = OrderedDict()

    def get(
        self, module: fx.GraphModule, facts: tuple[object, ...], make: Callable[[], onnx.ModelProto]
    ) -> onnx.ModelProto:
        """The graph of a network, made where it isn't one of the last.

        Args:
            module: The network; its code tells what it computes, which of an eager one its weights don't.
            facts: Whatever else the graph depends on; their ``repr`` tells them apart.
            make: Exports it.
        """
        key = _digest(module, facts)
        if key not in self._kept:
            self._kept[key] = make()
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        copy = onnx.ModelProto()
        copy.CopyFrom(self._kept[key])
        return copy


def _digest(module: fx.GraphModule, facts: tuple[object, ...]) -> str:
    digest = hashlib.sha256(module_digest(module).encode())
    digest.update(repr((module.code, str(module), facts)).encode())
    for name, value in _unsaved(module):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _unsaved(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Tensors that a network computes with and ``state_dict`` leaves out."""
    saved = module.state_dict().keys()
    yield from ((name, value) for name, value in module.named_buffers() if name not in saved)
    for path, child in module.named_modules():
        yield from ((f"{path}.{name}", value) for name, value in vars(child).items() if isinstance(value, Tensor))
