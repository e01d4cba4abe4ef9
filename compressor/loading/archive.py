"""What a zip file holds, told by its table of contents, and bounds on it before anything is unpacked."""

import re
import zipfile
from pathlib import Path
from typing import Literal

from compressor.errors import ModelFileError

MB = 1_000_000
# torch stores tensors as they are: nothing that it writes grows much when it is unpacked.
SMALL, MOST_GROWTH, MOST_ENTRIES = 64 * MB, 4, 1_000_000
LARGEST_CODE = 64 * MB
# torch's parser of TorchScript recurses, and ends the process some thousand levels down; what it writes itself stays
# below thirty.
DEEPEST = 300
_TOKEN = re.compile(r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|\#[^\n]*|[\[({]|[\])}]|,|\n|\w+|[^\s\w]""")
_OPENING, _CLOSING = frozenset("[({"), frozenset("])}")
_WORDS = frozenset({"not", "and", "or", "if", "else", "in", "is"})

PROGRAM = ("/archive_format", "/models/model.json", "serialized_exported_program.json")
Kind = Literal["torchscript", "program", "tensors"]


def entries_of(path: Path) -> list[zipfile.ZipInfo]:
    """A zip file's table of contents; empty where it is no zip file.

    Raises:
        ModelFileError: It unpacks to far more than it is.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return []
    unpacked, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if len(entries) > MOST_ENTRIES or unpacked > max(SMALL, MOST_GROWTH * size):
        raise ModelFileError(
            f"{path} has {size / MB:.1f} MB and says that it unpacks to {unpacked / MB:.0f} MB in {len(entries)} "
            f"entries; a model file grows to at most {MOST_GROWTH} times its size",
            "torch.save the tensors again",
        )
    return entries


def kind_of(entries: list[zipfile.ZipInfo]) -> Kind:
    """What torch made a zip file from: a TorchScript, an exported program, or tensors and plain values."""
    names = [entry.filename for entry in entries]
    if any(name.rpartition("/")[2] == "constants.pkl" or "code/" in name for name in names):
        return "torchscript"
    if any(
        name.endswith(("/archive_format", "/models/model.json", "serialized_exported_program.json")) for name in names
    ):
        return "program"
    return "tensors"


def check_code(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse TorchScript source that torch's own parser doesn't survive.

    Raises:
        ModelFileError: It is nested too deep, or too long.
    """
    sources = [entry for entry in entries if entry.filename.endswith(".py")]
    hint = "torch.jit.save the module again, or give a checkpoint of the network itself"
    if sum(entry.file_size for entry in sources) > LARGEST_CODE:
        raise ModelFileError(f"{path} has more than {LARGEST_CODE // MB} MB of source", hint)
    for entry in sources:
        try:
            with zipfile.ZipFile(path) as archive:
                text = archive.read(entry).decode("utf-8", "replace")
        except Exception as error:
            raise ModelFileError(f"{path}: {entry.filename[:80]} can't be read: {error}", hint) from None
        if deepest(text) > DEEPEST:
            raise ModelFileError(
                f"{path}: the source in {entry.filename[:80]} is nested more than {DEEPEST} levels deep", hint
            )


def deepest(source: str) -> int:
    """How deep the tree of some TorchScript source may get: brackets, blocks and chains of operators."""
    blocks = max((len(line) - len(line.lstrip()) for line in source.splitlines()), default=0) // 2
    # Each open bracket counts what its own chain of operators has got to; a comma starts it again.
    chains, total, most, branches = [0], 0, blocks, 0
    for match in _TOKEN.finditer(source):
        token = match.group()
        if token in _OPENING:
            chains.append(1)
            total += 1
        elif token in _CLOSING:
            total -= chains.pop() if len(chains) > 1 else 0
            chains[-1] += 1
            total += 1
        elif token == "," or (token == "\n" and len(chains) == 1):
            total -= chains[-1]
            chains[-1] = 0
        elif token in _WORDS or not (token[0].isalnum() or token[0] in "_'\"#\n:"):
            chains[-1] += 1
            total += 1
        elif token == "elif":
            branches += 1
        most = max(most, total, branches)
    return most
