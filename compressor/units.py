"""Numbers with units, as people write them."""

import re
from collections.abc import Mapping

from compressor.errors import InputError, did_you_mean

# To MB (10^6 bytes), milliseconds, and ones.
SIZES = {"": 1e-6, "B": 1e-6, "kB": 1e-3, "KB": 1e-3, "MB": 1.0, "GB": 1e3}
SIZES |= {"KiB": 2**10 * 1e-6, "MiB": 2**20 * 1e-6, "GiB": 2**30 * 1e-6}
TIMES = {"ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3}
COUNTS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
# Of shares: a hundredth, or the share itself.
SHARES = {"": 1.0, "%": 1e-2}
# No number that is meant is longer.
LONGEST = 40
NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-zµ%]*)\s*")


def quantity(option: str, text: str, units: Mapping[str, float], hint: str) -> float:
    """A number with a unit, in the unit of the settings.

    Raises:
        InputError: It isn't one.
    """
    found = NUMBER.fullmatch(text) if len(text) < LONGEST else None
    if found is None or found[2] not in units:
        known = ", ".join(filter(None, units))
        written = found[2] if found is not None else ""
        same = [unit for unit in units if unit and unit.lower() == written.lower()]
        guess = did_you_mean(same[0] if same else written, filter(None, units)) if written else ""
        wanted = f"wanted a number{f' with a unit of {known}' if known else ''}"
        raise InputError(f"{option} {text[:LONGEST]}: {wanted}{guess}", hint)
    return float(found[1]) * units[found[2]]
