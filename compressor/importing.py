"""Names like ``package.module:callable`` turned into the objects they name."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from compressor.errors import InputError, did_you_mean
from compressor.extras import EXTRAS, require
from compressor.user_code import called

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_reference(text: str) -> bool:
    """Whether a text has the shape ``package.module:name``."""
    return _REFERENCE.fullmatch(text) is not None


def import_object(reference: str) -> Any:
    """The object that ``package.module:name`` names. Importing runs the module's code.

    Modules of the current folder are found as well, after all installed ones.

    Raises:
        InputError: It isn't a reference, the module doesn't import, or has no such name.
        MissingError: It is a known optional dependency that isn't installed.
    """
    if not is_reference(reference):
        raise InputError(f"'{reference}' is not a reference", "package.module:callable, as in torchvision:resnet18")
    path, _, attribute = reference.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    hint = f"python -c 'import {path}' to see why; the package must be installed or in the current folder"
    with called(f"'{path}' (of '{reference}') doesn't import", hint):
        root = path.partition(".")[0]
        if root in EXTRAS:
            require(root)
        found = importlib.import_module(path)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise InputError(
                f"'{path}' has no '{attribute}'{did_you_mean(name, dir(found))}",
                f"python -c 'import {path}; print(dir({path}))' for the names it has",
            )
        found = getattr(found, name)
    return found
