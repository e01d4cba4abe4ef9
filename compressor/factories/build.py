"""A factory's name and arguments turned into a network."""

import inspect
import reprlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from compressor.errors import InputError
from compressor.importing import import_object, is_reference
from compressor.models import FactoryRef
from compressor.user_code import called, reason_of


def parse_factory(text: str, arguments: Mapping[str, Any] | None = None) -> FactoryRef:
    """Read what was typed after ``--factory``.

    ``torchvision:NAME`` is short for ``torchvision.models:NAME``, and ``timm:NAME`` for
    ``timm:create_model`` with ``model_name=NAME``.

    Args:
        text: ``"package.module:callable"``.
        arguments: Keyword arguments for the callable.

    Raises:
        InputError: The text has another shape.
    """
    arguments = dict(arguments or {})
    if not is_reference(text):
        raise InputError(
            f"'{text}' is not a factory",
            "--factory package.module:callable, for example torchvision:resnet18 or timm:lcnet_050",
        )
    module, _, name = text.partition(":")
    if module == "torchvision":
        return FactoryRef(reference=f"torchvision.models:{name}", arguments=arguments)
    if module == "timm" and name != "create_model":
        return FactoryRef(reference="timm:create_model", arguments={"model_name": name, **arguments})
    return FactoryRef(reference=text, arguments=arguments)


def build(ref: FactoryRef) -> nn.Module:
    """Call a factory.

    Raises:
        InputError: It doesn't import, has no such callable, refuses its arguments, fails, or gives
            something that isn't an ``nn.Module``.
        MissingError: It is a known model library that isn't installed.
    """
    factory = import_object(ref.reference)
    if not callable(factory):
        raise InputError(
            f"'{ref.reference}' is a {type(factory).__name__}, not a callable", "--factory with a callable"
        )
    given = ", ".join(f"{key}={reprlib.repr(value)}" for key, value in ref.arguments.items())[:500]
    with called(f"{ref.reference}({given}) fails", "another --factory or --factory-arg key=value"):
        try:
            module = factory(**ref.arguments)
        except TypeError as error:
            raise InputError(
                f"{ref.reference}({given}) refuses its arguments: {reason_of(error)}",
                f"--factory-arg key=value of {_signature(factory)}",
            ) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{ref.reference}({given}) gives a {type(module).__name__}, not an nn.Module",
            "--factory with a callable that returns the network",
        )
    return module


def _signature(factory: Any) -> str:
    try:
        return f"{getattr(factory, '__name__', 'the factory')}{inspect.signature(factory)}"
    except (TypeError, ValueError):
        return "the factory's own signature"
