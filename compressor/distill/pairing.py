"""Which layer of the student learns from which of the teacher."""

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from compressor.blocks import attentions
from compressor.distill.taps import ATTENTION, Taps, layers_of
from compressor.errors import PlanError


@dataclass(frozen=True, slots=True)
class Pair:
    """Two layers that see the images at about the same resolution and depth.

    Args:
        student: Module path.
        teacher: Module path.
        student_shape: Of the layer's output for one sample.
        teacher_shape: The same of the teacher's.
    """

    student: str
    teacher: str
    student_shape: tuple[int, ...]
    teacher_shape: tuple[int, ...]

    def __str__(self) -> str:
        """``layer3 (256x4x4) <- layer3 (512x4x4)``."""
        ours, theirs = ("x".join(map(str, shape)) for shape in (self.student_shape, self.teacher_shape))
        return f"{self.student} ({ours}) <- {self.teacher} ({theirs})"


Inputs = tuple[Tensor, ...]


def auto_pairs(student: nn.Module, teacher: nn.Module, for_student: Inputs, for_teacher: Inputs) -> list[Pair]:
    """The last layers of each resolution, paired from the outputs backwards.

    A convolutional network halves its resolution from stage to stage; what leaves a stage is where published
    recipes attach. Resolutions that both networks have are paired with each other, others by their place.

    Args:
        student: A module or a captured graph.
        teacher: The same.
        for_student: One call's inputs, on the student's device.
        for_teacher: The same on the teacher's.

    Raises:
        PlanError: One of them has no feature maps.
    """
    ours, theirs = _stages(student, for_student), _stages(teacher, for_teacher)
    for who, stages in (("student", ours), ("teacher", theirs)):
        if not stages:
            raise PlanError(
                f"kd.terms: layers = 'auto' pairs feature maps (N, C, H, W), and the {who} has none",
                "layers = [['student.layer', 'teacher.layer'], ...]",
            )
    common = [size for size in ours if size in theirs]
    if len(common) < min(len(ours), len(theirs)):
        chosen = list(zip(reversed(ours.values()), reversed(theirs.values()), strict=False))[::-1]
    else:
        chosen = [(ours[size], theirs[size]) for size in common]
    return [Pair(mine[0], other[0], mine[1], other[1]) for mine, other in chosen]


def encoder_pairs(
    student: nn.Module, teacher: nn.Module, for_student: Inputs, for_teacher: Inputs, attention: bool
) -> list[Pair]:
    """Layers of two encoders, paired as TinyBERT does: the student's m-th of M learns from the teacher's m*N/M-th.

    Args:
        student: A module or a captured graph of one.
        teacher: A module.
        for_student: One call's inputs, on the student's device.
        for_teacher: The same on the teacher's.
        attention: Their attention matrices; else what their layers give, and the embeddings first.

    Raises:
        PlanError: One of them has no repeated layers, or no attention that can be listened to.
    """
    ours, theirs = (_encoder(module, attention) for module in (student, teacher))
    if not ours or not theirs:
        raise PlanError(
            f"kd.terms: layers = 'auto' finds no encoder layers to pair in the {'teacher' if ours else 'student'}",
            "layers = [['student.layer', 'teacher.layer'], ...]",
        )
    start = 0 if attention else 1
    chosen = [] if attention else [(ours[0], theirs[0])]
    mine, other = ours[start:], theirs[start:]
    chosen += [(path, other[(place + 1) * len(other) // len(mine) - 1]) for place, path in enumerate(mine)]
    return named_pairs(student, teacher, tuple(chosen), for_student, for_teacher)


def _encoder(module: nn.Module, attention: bool) -> list[str]:
    """Paths of the embeddings and of every layer, in order; or of every attention."""
    layers = list(layers_of(module))
    if attention:
        if isinstance(module, fx.GraphModule):
            found = [path for path in layers if path.endswith(ATTENTION)]
            # Of a layer and all that it is inside of, the innermost.
            return [path for path in found if not any(_is_inside(other, path) for other in found)]
        return [f"{block.path}{ATTENTION}" for block in attentions(module)]
    numbered = [path for path in layers if path.rpartition(".")[2].isdigit()]
    embeddings = [path for path in layers if path.rpartition(".")[2] == "embeddings"]
    outer = [path for path in numbered if not any(path.startswith(f"{other}.") for other in numbered)]
    return [*embeddings[:1], *outer] if embeddings and outer else []


def _is_inside(inner: str, outer: str) -> bool:
    return inner.startswith(f"{outer.removesuffix(ATTENTION)}.")


def named_pairs(
    student: nn.Module,
    teacher: nn.Module,
    layers: tuple[tuple[str, str], ...],
    for_student: Inputs,
    for_teacher: Inputs,
) -> list[Pair]:
    """The pairs that a setting names, with their shapes.

    Raises:
        PlanError: A layer isn't there.
    """
    ours = shapes_of(student, for_student, [mine for mine, _ in layers])
    theirs = shapes_of(teacher, for_teacher, [other for _, other in layers])
    return [Pair(mine, other, ours[mine], theirs[other]) for mine, other in layers]


def shapes_of(module: nn.Module, inputs: Inputs, paths: list[str]) -> dict[str, tuple[int, ...]]:
    """The shape that each layer gives for one sample."""
    with Taps(module, paths) as taps:
        _call(module, inputs)
        return {path: tuple(tensor.shape[1:]) for path, tensor in taps.take().items()}


def _stages(module: nn.Module, inputs: Inputs) -> dict[tuple[int, ...], tuple[str, tuple[int, ...]]]:
    """Per resolution of more than one place the layer that ends it, the finest first."""
    with Taps(module, layers_of(module)) as taps:
        _call(module, inputs)
        shapes = [(path, tuple(tensor.shape[1:])) for path, tensor in taps.heard().items()]
    ended = {shape[1:]: (path, shape) for path, shape in shapes if len(shape) == 3 and shape[1] * shape[2] > 1}
    return dict(sorted(ended.items(), key=lambda item: -item[0][0] * item[0][1]))


def _call(module: nn.Module, inputs: Inputs) -> None:
    """One call in eval mode, which is undone afterwards."""
    modes = {child: child.training for child in module.modules()}
    module.eval()
    with torch.no_grad():
        module(*inputs)
    for child, mode in modes.items():
        child.training = mode
