"""What a kind of input decides for whoever handles inputs without knowing what they are: one class a kind."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor

from compressor.data import Data
from compressor.data.load import load_data
from compressor.data.unlabeled import load_unlabeled
from compressor.models import InputSpec, ModelInfo

# Students that ``auto`` makes: of the same depth and thinner, or of some of the reference's own layers.
Relatives = Literal["thinner", "shallower"]
# How layers of student and teacher are paired by themselves: by the sizes of their maps, or as blocks of encoders.
Pairing = Literal["maps", "blocks"]


class Modality:
    """Samples of one size, an array each, of which many views may be had: images, where nothing else is said.

    A kind of input is a class of these; its tasks name it, and nothing else does. What differs is an attribute or a
    method here, so that whoever trains, prunes, quantizes, exports or measures asks for what it needs to know.
    """

    # What profiles call it: stages with ``only = ["texts"]``, settings ``for.texts``.
    name: ClassVar[str] = "images"
    # Samples a call: of torch's network on a split, of an exported file on a split.
    evaluation_batch: ClassVar[int] = 500
    scoring_batch: ClassVar[int] = 250
    # Whether training shows each sample in several augmented views.
    augmented: ClassVar[bool] = True
    # Whether every sample has the size that the network was made for.
    one_size: ClassVar[bool] = True
    pairing: ClassVar[Pairing] = "maps"
    # Whether a part of a sample is one as well.
    has_pieces: ClassVar[bool] = False
    # Whether groups of channels compete with one another for what stays, besides within each layer.
    global_ranking: ClassVar[bool] = True
    # The script of ``export/kit`` that is put beside an exported file as ``infer.py``.
    script: ClassVar[str] = "infer.py"

    def stages_for(self, info: ModelInfo) -> str:
        """Which of a profile's lists of stages a network goes through."""
        return self.name

    def relatives(self, info: ModelInfo) -> Relatives:
        """Which students a network has by itself."""
        return "thinner"

    def read(
        self, spec: str | Callable[..., Any], args: Mapping[str, Any], info: ModelInfo | None = None, seed: int = 0
    ) -> Data:
        """Any ``--data`` as three checked splits.

        Args:
            spec: As typed, or a callable that gives data or loaders.
            args: The ``--data-arg`` values.
            info: Of the network, which says the size and normalisation of a sample and the order of classes.
            seed: Draws the validation split where there is none.

        Raises:
            DataError: It can't be read, or can't be trained on.
        """
        classes = () if info is None else info.classes
        return load_data(spec, args=args, inputs=expected(info), classes=classes, seed=seed)

    def read_unlabeled(self, data: Data, spec: str, args: Mapping[str, Any], seed: int = 0) -> Data:
        """The data with more training inputs, whose labels aren't looked at.

        Raises:
            DataError: There are none, or they don't fit.
        """
        return load_unlabeled(data, spec, args, seed=seed)

    def specs(self, inputs: tuple[Tensor, ...], data: Data) -> tuple[InputSpec, ...]:
        """What a network expects of one sample, from one call's inputs."""
        mean, std = (data.normalise.mean, data.normalise.std) if data.normalise else ((), ())
        return (InputSpec(shape=tuple(inputs[0].shape[1:]), mean=mean, std=std),)

    def timed(self, data: Data, size: int) -> list[Tensor]:
        """Which samples of the test split latency is taken with, a list of places each call; empty for any ``size``."""
        return []

    def longest(self, made: ModelInfo | Data) -> int | None:
        """The most tokens that a network, or one that sees this data, has positions for; None without tokens."""
        return None

    def pieces(self, data: Data, per_sample: int, seed: int) -> Data:
        """The data with random pieces of its training samples for teachers to answer, where it ``has_pieces``."""
        return data

    def check_same(self, student: Data, teacher: Data) -> None:
        """Refuse losses between positions that aren't the same for student and teacher.

        Raises:
            PlanError: Naming what differs.
        """


def expected(info: ModelInfo | None) -> InputSpec | None:
    """What a network's file says of a sample; None where it says nothing."""
    return info.inputs[0] if info is not None and info.inputs else None


IMAGES = Modality()
