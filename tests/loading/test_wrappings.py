import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from compressor.errors import ModelFileError
from compressor.loading import load_file
from compressor.loading.wrappings import check_stored, find_modules, find_weights, load_weights
from compressor.models import TorchModel

State = dict[str, Tensor]


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 3))


def state(value: float) -> State:
    return {k: torch.full_like(v, value) if v.is_floating_point() else v for k, v in net().state_dict().items()}


def under(prefix: str, tensors: State) -> State:
    return {f"{prefix}{key}": value for key, value in tensors.items()}


def loaded(content: object) -> tuple[float, str]:
    """Which weights a network got, by their value, and what was said."""
    module = net()
    said = load_weights(module, find_weights(content, "x.pt"), "x.pt")
    (value,) = {float(p.detach().flatten()[0]) for p in module.parameters()}
    return value, said


ONE, TWO = state(1), state(2)
WRAPPED: list[tuple[object, str]] = [
    (ONE, ""),
    *(({key: ONE, "epoch": 3}, f"'{key}'") for key in ("state_dict", "model_state_dict", "model", "net")),
    *(({key: ONE, "optimizer": {"lr": 1}}, "an average") for key in ("state_dict_ema", "model_ema", "ema", "teacher")),
    ({"state_dict": TWO, "state_dict_ema": ONE}, "'state_dict_ema', an average over the training, and not those of"),
    ({"model": {"state_dict": TWO, "ema": {"state_dict": ONE}}}, "'model.ema.state_dict'"),
    ({"teacher": ONE, "student": TWO}, "'teacher'"),
    ({"state_dict": under("model.", ONE) | {"criterion.weight": torch.ones(3)}}, "'model.' was taken off"),
    (under("module.", ONE), "'module.'"),
    (under("_orig_mod.module.", ONE), "'_orig_mod.module.'"),
    (under("online.", TWO) | under("ema_model.", ONE), "'ema_model.'"),
    (AveragedModel(nn.Sequential()).state_dict() | under("module.", ONE), "left out (n_averaged)"),
    (ONE | {"total_ops": torch.zeros(1), "0.total_params": torch.zeros(1)}, "2 counters of another tool"),
    ({k: v for k, v in ONE.items() if "num_batches" not in k}, "1 missing num_batches_tracked"),
    ({k: v.half() for k, v in ONE.items()}, "cast from float16"),
    (ONE | {"epoch": 3}, "1 other entries were left out (epoch)"),
]


@pytest.mark.parametrize(("content", "words"), WRAPPED)
def test_what_people_save(content: object, words: str) -> None:
    value, said = loaded(content)
    assert value == 1
    assert words in said and bool(words) == bool(said)


def test_an_average_that_does_not_fit_gives_way_to_what_does() -> None:
    assert loaded({"teacher": {"other": torch.ones(3)}, "model": ONE}) == (1, "the weights are those of 'model'")


def test_what_is_nearest_is_compared_where_nothing_fits() -> None:
    with pytest.raises(ModelFileError, match=r"2\.bias \[3\] is missing") as caught:
        loaded({"state_dict": {k: v for k, v in under("model.", ONE).items() if k != "model.2.bias"}})
    assert "1 more" not in caught.value.message


@pytest.mark.parametrize("content", [3, [torch.ones(2)], {}, {"epoch": 3}, {"state_dict": {"a": 1}}, torch.ones(2)])
def test_no_tensors(content: object) -> None:
    with pytest.raises(ModelFileError, match="neither a checkpoint of ours nor a state_dict"):
        find_weights(content, "x.pt")


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(1).expand(10**12),
        lambda: torch.ones(2, 2).to_sparse(),
        lambda: torch.ones(2, device="meta"),
        lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    ],
)
def test_tensors_that_are_not_plainly_stored(make: Callable[[], Tensor]) -> None:
    with pytest.raises(ModelFileError, match="stored"):
        check_stored("a", make(), "x.pt")


def test_whole_networks_are_found_averages_first() -> None:
    first, second = net(), net()
    assert list(find_modules({"model": first, "ema": second})) == [("ema", second), ("model", first)]
    assert list(find_modules(first)) == [("", first)]


def network() -> nn.Module:
    return net()


def test_a_checkpoint_of_timm_with_its_arguments(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "state_dict": TWO,
        "state_dict_ema": ONE,
        "args": argparse.Namespace(lr=0.1, out=tmp_path),
    }
    torch.save(content, tmp_path / "m.pth.tar")
    form = load_file(tmp_path / "m.pth.tar", factory=f"{__name__}:network")
    assert isinstance(form, TorchModel)
    assert float(next(form.module.parameters()).detach().flatten()[0]) == 1
    (note,) = form.info.notes
    assert note.startswith("m.pth.tar: the weights are those of 'state_dict_ema'")
    assert "notes" not in form.info.model_dump()
