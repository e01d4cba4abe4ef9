"""What the sentence-transformers library writes beside a network of transformers: how it pools, and where it cuts."""

from pathlib import Path
from typing import Any

from compressor.errors import ModelFileError
from compressor.export.sentence_files import MODULES, POOLINGS, SETTINGS
from compressor.reading import read_json

NORMALIZE = "Normalize"
HINT = "an encoder whose vectors are the mean of its tokens' states, or the first token's"


def is_sentence_folder(folder: Path) -> bool:
    """Whether sentence-transformers wrote a folder."""
    return (folder / MODULES).is_file()


def pooling_in(folder: Path) -> str:
    """How the folder makes one vector of a text's tokens, ``"mean"`` or ``"cls"``.

    Raises:
        ModelFileError: A file is damaged, or it does it in a way that this package doesn't know.
    """
    modules = _read(folder / MODULES, list)
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules if isinstance(module, dict)]
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= {NORMALIZE}:
        raise ModelFileError(
            f"{folder} is a chain of {', '.join(kinds)}; wanted Transformer, Pooling and at most {NORMALIZE}", HINT
        )
    settings = _read(folder / str(modules[1].get("path", "")) / "config.json", dict)
    chosen = {name for name, key in POOLINGS.items() if settings.get(key) is True} or {settings.get("pooling_mode")}
    others = {key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True}
    if len(chosen) != 1 or not chosen <= set(POOLINGS) or others - set(POOLINGS.values()):
        got = ", ".join(sorted(others)) or settings.get("pooling_mode")
        raise ModelFileError(f"{folder} pools by {got}; wanted one of {', '.join(POOLINGS)}", HINT)
    return str(chosen.pop())


def longest_in(folder: Path) -> int | None:
    """Tokens after which the folder says that texts are cut; None where it says nothing.

    Raises:
        ModelFileError: The file is damaged.
    """
    path = folder / SETTINGS
    found = _read(path, dict).get("max_seq_length") if path.is_file() else None
    return found if isinstance(found, int) and found > 1 else None


def _read(path: Path, kind: type) -> Any:
    return read_json(path, kind, "copy the folder again, whole", ModelFileError)
