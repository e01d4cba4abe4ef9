"""Pickles written by hand, operation by operation: no writer makes such."""

import struct
import time
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from compressor.errors import InputError, ModelFileError
from compressor.loading import load_file
from compressor.loading.pickles import read_trusted, unwrapped

START, END = b"\x80\x02", b"."
MAGIC = START + b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19" + END
REST = START + b"M\xe9\x03" + END + START + b"}" + END


def laughs(kind: bytes) -> bytes:
    """40 levels of a list that holds the one before it twice; or of a tuple, which is a key."""
    if kind == b"t":
        return b"})" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(40)) + b"K\x01s"
    return b"]" + b"".join(b"q%c0](h%ch%ce" % (n, n, n) for n in range(40))


def later_filled() -> bytes:
    """Each list goes into the next while it is empty, and is filled afterwards."""
    made = b"".join(b"]q%c" % n for n in range(40))
    return made + b"".join(b"h%c(h%ch%ce0" % (n, n + 1, n + 1) for n in range(39))


HOSTILE = {
    "stands for more than": laughs(b"l"),
    "stands for more than 10000000": laughs(b"t"),
    "values in": later_filled(),
    "nested more than": b"]" + b"\x85" * 5000,
    "holds itself": b"]q\x00h\x00a",
    "integer of 15999 bits": b"\x8b" + struct.pack("<i", 2000) + b"\x01" * 1999 + b"\x7f",
    "is damaged": b"h\x07",
    "not well formed": b"(\x85",
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("words", HOSTILE)
def test_pickles_beyond_a_bound(tmp_path: Path, words: str, zipped: bool) -> None:
    pickle, path = START + HOSTILE[words] + END, tmp_path / "m.pt"
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("m/data.pkl", pickle)
            archive.writestr("m/version", "3\n")
    else:
        path.write_bytes(MAGIC + REST + pickle + START + b"]" + END)
    # Unpacked as it says it would never end. Seconds of the processor: other work on the machine counts in a clock's.
    begun = time.process_time()
    with pytest.raises(ModelFileError, match=words):
        load_file(path)
    assert time.process_time() - begun < 10


def test_an_old_file_that_declares_more_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save({"a": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert content.count(b"M\xe8\x03") == 2
    path.write_bytes(content.replace(b"M\xe8\x03", b"J" + struct.pack("<i", 2**31 - 1)))
    with pytest.raises(ModelFileError, match="declares 2147483647 values"):
        load_file(path)


def test_a_zip_that_unpacks_to_far_more(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", START + b"}" + END)
        archive.writestr("m/data/0", bytes(100_000_000))
    with pytest.raises(InputError, match="says that it unpacks to 100 MB"):
        load_file(tmp_path / "m.pt")


def test_a_parallel_module_is_read_without_its_process_group(tmp_path: Path) -> None:
    inner = nn.Linear(2, 3)
    wrapper = DistributedDataParallel.__new__(DistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = inner
    own = DistributedDataParallel.__setstate__
    try:
        DistributedDataParallel.__getstate__ = lambda self: self.__dict__  # type: ignore[method-assign,assignment]
        torch.save(wrapper, tmp_path / "m.pt")
    finally:
        del DistributedDataParallel.__getstate__
    module, said = unwrapped(read_trusted(tmp_path / "m.pt"))
    assert torch.equal(module.get_parameter("weight"), inner.weight)
    assert said == "DistributedDataParallel around the network was taken off"
    assert DistributedDataParallel.__setstate__ is own


def test_what_trains_a_network_is_taken_off() -> None:
    inner = nn.Linear(2, 3)
    assert unwrapped(inner) == (inner, "")
    assert unwrapped(nn.DataParallel(inner))[0] is inner
    module, said = unwrapped(AveragedModel(torch.compile(inner)))  # type: ignore[arg-type]
    assert isinstance(module, nn.Linear) and said == "AveragedModel and torch.compile around the network was taken off"
