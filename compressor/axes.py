"""Which axes of a network's inputs may have any size when its graph is captured."""

from torch import Tensor
from torch.export import Dim


def dynamic_axes(inputs: tuple[Tensor, ...], longest: int | None = None) -> tuple[dict[int, object], ...]:
    """Per input its free axes: the first is the batch, of token ids the second is the length.

    Token ids are what is integer and has two axes, as all inputs of text networks are.

    Args:
        inputs: One call's.
        longest: The most tokens that the network has positions for.
    """
    batch = Dim("batch", min=1)
    if not is_text(inputs):
        return tuple({0: batch} for _ in inputs)
    length = Dim("length", min=2, max=longest) if longest else Dim("length", min=2)
    return tuple({0: batch, 1: length} for _ in inputs)


def is_text(inputs: tuple[Tensor, ...]) -> bool:
    """Whether these are token ids and masks, (N, tokens) integers."""
    return all(tensor.dim() == 2 and not tensor.is_floating_point() for tensor in inputs)
