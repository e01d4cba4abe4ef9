"""Networks of the transformers library that classify images, as plain modules: pixels in, logits out."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from compressor.errors import InputError
from compressor.extras import require
from compressor.factories.text_network import config_of, said_by
from compressor.models import FactoryRef

REFERENCE = "compressor.factories.image_network:image_network"
# What the library calls a network with such a head.
HEAD = "ForImageClassification"


class ImageNetwork(nn.Module):
    """A network of transformers that takes images by position and gives its logits.

    Args:
        network: With attention computed step by step ("eager"), as ``TextNetwork``'s.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, channels, height, width)."""
        logits: Tensor = self.network(pixel_values=pixel_values, return_dict=True).logits
        return logits


def image_network(config: Mapping[str, Any]) -> ImageNetwork:
    """Build an untrained network.

    Args:
        config: As in a ``config.json``, with its ``model_type``; code that it names isn't run.

    Raises:
        InputError: transformers has no such network for images.
        MissingError: transformers isn't installed.
    """
    made = config_of(config)
    try:
        return ImageNetwork(image_class(made).from_config(made, attn_implementation="eager"))
    except ValueError as error:
        reason = str(error).strip().partition("\n")[0]
        message = f"transformers builds no image network of this configuration: {reason}"
        raise InputError(message, "a folder whose architectures end in ForImageClassification") from None


def image_class(config: Any) -> Any:
    """What builds the network of a configuration object: the class that it names, or the usual one of its type."""
    library = require("transformers")
    for name in config.architectures or ():
        if HEAD in name and hasattr(library, name):
            return _Named(getattr(library, name))
    return library.AutoModelForImageClassification


class _Named:
    """A class of networks, called as the library's Auto classes are."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def from_config(self, config: Any, **settings: Any) -> Any:
        return self._kind._from_config(config, **settings)  # noqa: SLF001 - what the Auto classes call

    def from_pretrained(self, *given: Any, **settings: Any) -> Any:
        return self._kind.from_pretrained(*given, **settings)


def reference_of_images(config: Any) -> FactoryRef:
    """The factory of a configuration object, as plain values."""
    values = {key: value for key, value in said_by(config).items() if value is not None}
    return FactoryRef(
        reference=REFERENCE,
        arguments={"config": {**values, "architectures": config.architectures, "model_type": config.model_type}},
    )
