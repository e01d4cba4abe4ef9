import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from small import ARGUMENTS, FACTORY, small_model
from torch import nn

from compressor.errors import CompressError, InputError, ModelFileError, UntrustedError
from compressor.loading import load_file, save_checkpoint
from compressor.models import TorchModel

IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def outputs(path: Path, **kwargs: Any) -> torch.Tensor:
    form = load_file(path, **kwargs)
    assert isinstance(form, TorchModel)
    answer: torch.Tensor = form.module(IMAGES)
    return answer.detach()


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return small_model().module.eval()


@pytest.fixture
def expected(module: nn.Module) -> torch.Tensor:
    answer: torch.Tensor = module(IMAGES)
    return answer.detach()


def test_a_state_dict_with_a_factory(tmp_path: Path, module: nn.Module, expected: torch.Tensor) -> None:
    torch.save({"state_dict": {f"module.{k}": v for k, v in module.state_dict().items()}}, tmp_path / "m.pth")
    save_file(module.state_dict(), tmp_path / "m.safetensors")
    for name in ("m.pth", "m.safetensors"):
        assert torch.equal(outputs(tmp_path / name, factory=FACTORY, factory_args=ARGUMENTS), expected)
        with pytest.raises(InputError, match="bare state_dict") as caught:
            load_file(tmp_path / name)
        assert "--factory" in caught.value.hint


def test_a_state_dict_that_does_not_fit(tmp_path: Path, module: nn.Module) -> None:
    torch.save(module.state_dict(), tmp_path / "m.pt")
    with pytest.raises(ModelFileError, match=r"fc\.weight: \[10, 32\] in the file, \[7, 32\]") as caught:
        load_file(tmp_path / "m.pt", factory=FACTORY, factory_args={**ARGUMENTS, "num_classes": 7})
    assert caught.value.hint == "--factory-arg num_classes=10"


def test_the_format_before_zip(tmp_path: Path, module: nn.Module, expected: torch.Tensor) -> None:
    torch.save(module.state_dict(), tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(outputs(tmp_path / "m.pt", factory=FACTORY, factory_args=ARGUMENTS), expected)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_needs_trust(tmp_path: Path, module: nn.Module, expected: torch.Tensor, zipped: bool) -> None:
    torch.save(module, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UntrustedError, match="pickle of Python objects") as caught:
        load_file(tmp_path / "m.pt")
    assert "--trust" in caught.value.hint
    assert torch.equal(outputs(tmp_path / "m.pt", trust=True), expected)


@pytest.mark.parametrize("wrap", ["alone", "state_dict", "checkpoint"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_runs_nothing(tmp_path: Path, module: nn.Module, wrap: str, zipped: bool) -> None:
    touched = tmp_path / "touched"
    path = tmp_path / "m.pt"
    content: Any = Touch(touched)
    if wrap == "state_dict":
        content = {**module.state_dict(), "extra": content}
    elif wrap == "checkpoint":
        save_checkpoint(module, path, factory=FACTORY, factory_args=ARGUMENTS)
        content = {**torch.load(path, weights_only=True), "extra": content}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UntrustedError):
        load_file(path, factory=FACTORY, factory_args=ARGUMENTS)
    assert not touched.exists()


def test_torchscript(tmp_path: Path, module: nn.Module, expected: torch.Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, IMAGES)
        torch.jit.save(traced, tmp_path / "m.pt")
    for name in ("m.pt", "m.safetensors", "m.ckpt"):
        (tmp_path / "m.pt").replace(tmp_path / name)
        with pytest.raises(UntrustedError, match="is a TorchScript file"):
            load_file(tmp_path / name)
        torch.testing.assert_close(outputs(tmp_path / name, trust=True), expected)
        (tmp_path / name).replace(tmp_path / "m.pt")


def test_a_program_needs_trust_since_torch_reads_it_with_pickle(
    tmp_path: Path, module: nn.Module, expected: torch.Tensor
) -> None:
    batch = torch.export.Dim("batch", min=1)
    torch.export.save(torch.export.export(module, (IMAGES[:2],), dynamic_shapes=({0: batch},)), tmp_path / "m.pt2")
    with pytest.raises(UntrustedError, match="reads with pickle"):
        load_file(tmp_path / "m.pt2")
    torch.testing.assert_close(outputs(tmp_path / "m.pt2", trust=True), expected)


def saved_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, buffer)
    return buffer.getvalue()


def zip_of(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "content")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello", "is not a model file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a model file"),
        (saved_bytes()[:-300], "is cut off"),
        (saved_bytes()[:2000], "is cut off"),
        (zip_of("some.txt"), "damaged|can't be loaded"),
        (zip_of("x/constants.pkl"), "is a TorchScript file"),
        (b"\x80\x02", "damaged|pickle"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load_file(tmp_path / "m.pt")
    assert caught.value.hint


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    content = bytearray(saved_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(CompressError):
        load_file(tmp_path / "m.pt")


def test_a_damaged_safetensors_file(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(ModelFileError, match="can't be read"):
        load_file(tmp_path / "m.safetensors", factory=FACTORY)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no file"):
        load_file(tmp_path / "m.pt")
    with pytest.raises(ModelFileError, match=r"without structure\.json"):
        load_file(tmp_path)
    (tmp_path / "01-prune").mkdir()
    (tmp_path / "01-prune" / "structure.json").write_text("{}")
    with pytest.raises(ModelFileError) as caught:
        load_file(tmp_path)
    assert caught.value.hint == str(tmp_path / "01-prune")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no network of type"):
        load_file(tmp_path)
