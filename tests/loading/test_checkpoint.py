from pathlib import Path

import pytest
import torch
from small import ARGUMENTS, FACTORY, small_data, small_model

from compressor.errors import InputError, ModelFileError, UntrustedError
from compressor.loading import load_file, save_checkpoint
from compressor.models import TorchModel


def load(path: Path, **kwargs: object) -> TorchModel:
    form = load_file(path, **kwargs)  # type: ignore[arg-type]
    assert isinstance(form, TorchModel)
    return form


def test_everything_comes_back(tmp_path: Path) -> None:
    model, data = small_model(), small_data()
    path = tmp_path / "new" / "model.pt"
    save_checkpoint(
        model.module,
        path,
        factory=FACTORY,
        factory_args=ARGUMENTS,
        data="digits",
        data_args={"size": [8, 8]},
        inputs=model.info.inputs,
        classes=data.classes,
    )
    assert [entry.name for entry in path.parent.iterdir()] == ["model.pt"]
    loaded = load(path)
    info = loaded.info
    assert info.factory is not None and info.factory.arguments == ARGUMENTS
    assert (info.data, info.data_args, info.classes) == ("digits", {"size": [8, 8]}, data.classes)
    assert info.inputs == model.info.inputs
    assert info.source == str(path) and len(info.sha256) == 64
    batch = data.batch("test", torch.arange(8))
    assert torch.equal(loaded.module(*batch.inputs), model.module.eval()(*batch.inputs))
    assert not loaded.module.training


def test_it_is_read_without_unpickling_code(tmp_path: Path) -> None:
    save_checkpoint(small_model().module, tmp_path / "m.pt", factory=FACTORY, factory_args=ARGUMENTS)
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    assert content["format"] == "compressor-checkpoint"


def test_the_input_spec_is_taken_from_examples(tmp_path: Path) -> None:
    examples = (torch.zeros(2, 1, 8, 8),)
    module = small_model().module
    save_checkpoint(module, tmp_path / "m.pt", factory=FACTORY, factory_args=ARGUMENTS, example_inputs=examples)
    assert load(tmp_path / "m.pt").info.inputs[0].shape == (1, 8, 8)


def test_a_factory_that_builds_another_network_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not the one that was saved"):
        save_checkpoint(small_model().module, tmp_path / "m.pt", factory="torchvision:resnet18")
    assert not (tmp_path / "m.pt").exists()


def test_arguments_that_are_not_plain(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be JSON values"):
        save_checkpoint(
            small_model().module, tmp_path / "m.pt", factory=FACTORY, factory_args=ARGUMENTS, data_args={"a": object()}
        )


def rewrite(path: Path, **changes: object) -> None:
    content = torch.load(path, weights_only=True)
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    torch.save(content, path)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "m.pt"
    save_checkpoint(small_model().module, path, factory=FACTORY, factory_args=ARGUMENTS, data="digits")
    return path


def test_a_later_version(saved: Path) -> None:
    rewrite(saved, version=99)
    with pytest.raises(ModelFileError, match="version 99, this release reads 1"):
        load(saved)


def test_a_description_that_does_not_fit(saved: Path) -> None:
    rewrite(saved, info={"inputs": "large"})
    with pytest.raises(ModelFileError, match="its description doesn't fit: inputs"):
        load(saved)


def test_a_file_s_own_factory_is_not_imported(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched = tmp_path / "touched"
    (tmp_path / "their_code.py").write_text(f"import pathlib\npathlib.Path({str(touched)!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    rewrite(saved, info={"factory": {"reference": "their_code:net", "arguments": {}}})
    with pytest.raises(UntrustedError, match="their_code:net") as caught:
        load(saved)
    assert not touched.exists()
    assert "--factory their_code:net" in caught.value.hint
    assert load(saved, factory=FACTORY, factory_args=ARGUMENTS).info.factory is not None
    with pytest.raises(InputError, match="has no 'net'"):
        load(saved, trust=True)
    assert touched.exists()


def test_a_file_s_own_data_code_is_dropped(saved: Path) -> None:
    rewrite(saved, info={"data": "os:system", "data_args": {"command": "true"}})
    assert load(saved).info.data is None
    assert load(saved).info.data_args == {}
    assert load(saved, trust=True).info.data == "os:system"


def test_the_task_given_wins(saved: Path) -> None:
    assert load(saved, task="something-else").info.task == "something-else"


def test_arguments_without_a_factory(saved: Path) -> None:
    with pytest.raises(InputError, match="no factory"):
        load(saved, factory_args={"width": 3})
