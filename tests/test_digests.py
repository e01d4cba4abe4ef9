"""Equal content has an equal digest, other content another."""

from pathlib import Path

import torch
from torch import nn

from compressor.digests import file_digest, module_digest


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_digest_sees_every_bit() -> None:
    module = nn.BatchNorm2d(3)
    before = module_digest(module)
    assert before == module_digest(module)
    with torch.no_grad():
        module.weight[1] += 1e-6
    changed = module_digest(module)
    assert changed != before
    module.num_batches_tracked += 1  # type: ignore[operator]
    assert module_digest(module) != changed


def test_shapes_count() -> None:
    assert module_digest(nn.Linear(2, 3)) != module_digest(nn.Linear(3, 2))
