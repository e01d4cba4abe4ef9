"""Networks by name: ``torchvision:resnet18`` to a module, and which names a file may give."""

from compressor.factories.build import build, parse_factory
from compressor.factories.trust import is_known_library, trusted

__all__ = ["build", "is_known_library", "parse_factory", "trusted"]
