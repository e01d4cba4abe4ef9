"""Whatever the user's code raises names its line, and no exit of its own passes for ours."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from compressor.errors import DataError, InputError
from compressor.factories import build, parse_factory
from compressor.user_code import called, line_of, reason_of

ENDS = {
    "value": "raise ValueError('mine')",
    "exit0": "raise SystemExit(0)",
    "exit3": "import sys; sys.exit(3)",
    "text": "raise SystemExit('bye')",
    "stopped": "raise KeyboardInterrupt",
    "deep": "return made()",
    "quiet": "raise RuntimeError",
    "inside": "import json; json.loads('{')",
}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    (tmp_path / f"mine_{request.param}.py").write_text(f"def made():\n    {ENDS[request.param]}\n")
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module(f"mine_{request.param}")


@pytest.mark.parametrize("made", ENDS, indirect=True)
def test_a_factory_that_fails_names_its_line(made: ModuleType) -> None:
    with pytest.raises(InputError, match="fails") as raised:
        build(parse_factory(f"{made.__name__}:made"))
    assert f"{made.__file__}:2: " in raised.value.message


@pytest.mark.parametrize("end", ["raise SystemExit(0)", "raise ValueError", "raise KeyboardInterrupt", "1 +"])
def test_a_module_that_does_not_import_names_its_line(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_broken.py").write_text(f"x = 1\n{end}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="mine_broken") as raised:
        build(parse_factory("mine_broken:made"))
    assert "line 2" in raised.value.message or "mine_broken.py:2: " in raised.value.message


def test_an_interrupt_from_the_keyboard_stays_one() -> None:
    def interrupted() -> None:
        interrupt = KeyboardInterrupt()
        interrupt.with_traceback(None)
        (_ for _ in ()).throw(interrupt)

    with pytest.raises(KeyboardInterrupt), called("it", "next"):
        interrupted()


def test_faults_of_ours_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressor.user_code.INSTALLED", ("",))
    with pytest.raises(ZeroDivisionError), called("it", "next", DataError, among_ours=True):
        divmod(1, 0)
    monkeypatch.setattr("compressor.user_code.INSTALLED", ("nowhere",))
    with pytest.raises(DataError, match="ZeroDivisionError"), called("it", "next", DataError, among_ours=True):
        divmod(1, 0)
    with pytest.raises(DataError, match=r"sys.exit\(7\)"), called("it", "next", DataError, among_ours=True):
        raise SystemExit(7)


def test_a_reason_has_one_line() -> None:
    with pytest.raises(ValueError, match="one") as raised:
        raise ValueError("one\ntwo")
    assert line_of(raised.value).endswith(': raise ValueError("one\\ntwo")')
    assert reason_of(raised.value).startswith("ValueError: one at ")


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


def test_the_line_that_torch_can_not_capture() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.export.export(Branches(), (torch.ones(2, 3),))
    assert line_of(raised.value).endswith(": if x.sum() > 0:")


def test_a_line_that_only_the_message_names() -> None:
    assert line_of(ValueError(f'no graph\n  File "{__file__}", line 1, in f\n  File "missing.py", line 3')).startswith(
        f"{__file__}:1: "
    )


class Counting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(int(x.shape[0] * 0.5))


def test_what_a_network_makes_of_its_batch_size_is_said() -> None:
    with pytest.raises(Exception, match="Constraints violated") as raised:
        torch.export.export(Counting(), (torch.ones(2, 3),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    said = reason_of(raised.value)
    assert "batch = L['x'].size()[0]" in said and "For more information" not in said
