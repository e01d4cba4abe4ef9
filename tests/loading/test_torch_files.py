import contextlib
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small import ARGUMENTS, FACTORY, small_model
from torch import nn

from compressor.errors import InputError, ModelFileError
from compressor.loading import load_file, save_checkpoint
from compressor.models import TorchModel


def load(path: Path, **kwargs: Any) -> TorchModel:
    form = load_file(path, **kwargs)
    assert isinstance(form, TorchModel)
    return form


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, lambda m: {"ema": m, "model": nn.Linear(1, 1)}])
def test_a_pickled_module_is_rebuilt_from_a_copy(tmp_path: Path, wrap: Callable[[nn.Module], Any]) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).half()
    torch.save(wrap(module), tmp_path / "m.pt")
    form = load(tmp_path / "m.pt", trust=True)
    assert form.builder is not None and form.builder() is not form.builder()
    assert type(form.module) is nn.Sequential and not form.module.training
    assert {p.dtype for p in form.module.parameters()} == {torch.float32}
    assert "cast from float16 to float32" in form.info.notes[0]
    torch.testing.assert_close(form.builder().get_parameter("0.weight"), module.get_parameter("0.weight").float())


def test_a_pickled_module_may_hold_itself(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)
    module.__dict__["owner"] = [module]
    torch.save(module, tmp_path / "m.pt")
    assert isinstance(load(tmp_path / "m.pt", trust=True).module, nn.Linear)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("ours") / "m.pt"
    save_checkpoint(small_model().module, path, factory=FACTORY, factory_args=ARGUMENTS, data="digits")
    read: dict[str, Any] = torch.load(path, weights_only=True)
    return read


def places(content: dict[str, Any]) -> Iterator[tuple[str, Callable[[dict[str, Any]], None]]]:
    def put(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
        def change(changed: dict[str, Any]) -> None:
            for key in path[:-1]:
                changed = changed[key]
            changed[path[-1]] = value

        return change

    for value in (None, 2**62, "x", [1], {"a": 1}, True, "a\0b", "n" * 5000):
        for path in (
            ("version",),
            ("info",),
            ("structure",),
            ("state_dict",),
            ("info", "task"),
            ("info", "data"),
            ("info", "data_args"),
            ("info", "inputs"),
            ("info", "classes"),
            ("info", "factory"),
            ("info", "tokenizer"),
            ("info", "notes"),
            ("structure", "tensors"),
            ("structure", "attributes"),
            ("structure", "version"),
            ("structure", "tensors", "stem.weight"),
            ("structure", "attributes", ""),
            ("state_dict", "fc.weight"),
        ):
            yield f"{'.'.join(path)}={str(value)[:12]}", put(*path, value=value)
    for shape in ([-1, 1, 1, 1], [2**40, 1, 1, 1], [2**70], [60_000] * 4, [1.5], ["a"], [True]):
        yield f"shape {shape}", put("structure", "tensors", "fc.weight", value=shape)
        yield f"input {shape}", put("info", "inputs", value=[{"shape": shape}])
    for name, value in (("_modules", 3), ("forward", 3), ("unknown", 3), ("in_features", [1]), ("in_features", True)):
        yield f"attribute {name}", put("structure", "attributes", "fc", value={name: value})


def test_every_field_of_a_checkpoint_is_checked(content: dict[str, Any], tmp_path: Path) -> None:
    path, loaded = tmp_path / "m.pt", []
    for name, change in places(content):
        changed = copy.deepcopy(content)
        change(changed)
        torch.save(changed, path)
        with contextlib.suppress(InputError):
            assert load(path).info.notes == (), name
            loaded.append(name)
    never = ("version", "structure", "state_dict", "shape", "attribute", "input", "info=", "info.fact", "info.inp")
    assert {name for name in loaded if name.startswith(never)} == {"input [-1, 1, 1, 1]"}
    assert not [name for name in loaded if "\0" in name or "nnnn" in name]


def test_a_factory_that_builds_far_more_than_the_file_holds(content: dict[str, Any], tmp_path: Path) -> None:
    changed = copy.deepcopy(content)
    changed["info"]["factory"]["arguments"]["num_classes"] = 100_000_000
    torch.save(changed, tmp_path / "m.pt")
    with pytest.raises(ModelFileError, match="the factory builds a network of more than"):
        load(tmp_path / "m.pt")
