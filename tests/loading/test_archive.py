import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from compressor.errors import ModelFileError
from compressor.loading import load_file
from compressor.loading.archive import DEEPEST, deepest, entries_of, kind_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m/constants.pkl", "torchscript"),
        ("constants.pkl", "torchscript"),
        ("m/code/__torch__.py", "torchscript"),
        ("m/archive_format", "program"),
        ("m/data.pkl", "tensors"),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert kind_of([zipfile.ZipInfo(name)]) == kind


@pytest.mark.parametrize(
    "source",
    [
        "y = " + "(" * 1000 + "x" + ")" * 1000,
        "y = " + "-" * 1000 + "x",
        "y = " + "not " * 1000 + "x",
        "y = x" + " + x" * 1000,
        "y = " + "x if a else " * 1000 + "x",
        "y = x" + ".t()" * 1000,
        "y = x" + "[0]" * 1000,
        "\n".join("  " * level + "if a:" for level in range(1000)),
        "if a:\n  y = x\n" + "elif a:\n  y = x\n" * 1000,
    ],
)
def test_what_a_parser_would_recurse_into(source: str) -> None:
    assert deepest(source) > DEEPEST


@pytest.mark.parametrize(
    "source",
    [
        "y = torch.cat([" + ", ".join(["self.a.b.c"] * 5000) + "])",
        "y = torch.add(x, 1)\n" * 5000,
        "y = '" + "(" * 5000 + "'",
        "# " + "(" * 5000,
        "z = [" + "-1, " * 5000 + "]",
    ],
)
def test_long_is_not_deep(source: str) -> None:
    assert deepest(source) < 20


@pytest.fixture
def scripted(tmp_path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Linear(2, 3), torch.ones(1, 2)), tmp_path / "m.pt")
    return tmp_path / "m.pt"


def test_nested_source_is_refused_before_torch_parses_it(scripted: Path) -> None:
    with zipfile.ZipFile(scripted) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(scripted, "w") as archive:
        for name, content in parts.items():
            nested = b"return " + b"(" * 50_000 + b"x" + b")" * 50_000
            archive.writestr(name, content.replace(b"return ", nested) if name.endswith(".py") else content)
    with pytest.raises(ModelFileError, match="nested more than"):
        load_file(scripted, trust=True)


def test_what_is_no_zip_has_no_entries(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"PK\x03\x04 and nothing more")
    assert entries_of(tmp_path / "m.pt") == []
