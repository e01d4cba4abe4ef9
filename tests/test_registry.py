"""The registry: built-in stages by name, plug-ins by entry point, and what goes wrong with them."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest

from compressor import registry
from compressor.errors import ProfileError
from compressor.models import TorchModel
from compressor.stage import Stage, StageResult


class Fold(Stage):
    kind: ClassVar[str] = "acme-fold"
    accepts: ClassVar[tuple[type, ...]] = (TorchModel,)
    produces: ClassVar[type] = TorchModel

    def run(self, model: TorchModel, ctx: object) -> StageResult:
        return StageResult(model)


def plug_in(monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str]) -> None:
    monkeypatch.setitem(sys.modules, "acme_stages", sys.modules[__name__])
    found = [EntryPoint(name, value, registry.GROUP) for name, value in entries]
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group == registry.GROUP else [])


def test_listing_names_imports_no_torch() -> None:
    code = "import sys; from compressor import registry; registry.kinds(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", list(registry.BUILT_IN))
def test_built_in_stages_are_where_the_table_says(kind: str) -> None:
    stage = registry.stage_class(kind)
    assert stage.kind == kind
    assert registry.BUILT_IN[kind] == f"{stage.__module__}:{stage.__name__}"


def test_unknown_kind_is_guessed() -> None:
    with pytest.raises(ProfileError, match="no stage 'prun'; did you mean 'prune'"):
        registry.stage_class("prun")


def test_plug_in_is_listed_and_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, ("acme-fold", "acme_stages:Fold"))
    assert registry.kinds()[-1] == "acme-fold"
    assert registry.stage_class("acme-fold") is Fold
    assert registry.broken("acme-fold") == ""


def test_two_of_one_name_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, ("acme-fold", "acme_stages:Fold"), ("acme-fold", "other:Fold"), ("prune", "mine:Prune"))
    with pytest.raises(ProfileError, match="acme_stages:Fold and other:Fold"):
        registry.stage_class("acme-fold")
    with pytest.raises(ProfileError, match=r"compressor\.prune\.stage:Prune and mine:Prune"):
        registry.stage_class("prune")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("not_there:Fold", "ModuleNotFoundError"),
        ("acme_stages:Missing", "AttributeError"),
        ("acme_stages:plug_in", "not a subclass"),
        ("acme_stages:Fold", "calls itself 'acme-fold'"),
    ],
)
def test_broken_plug_in_fails_only_if_asked_for(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    plug_in(monkeypatch, ("acme-other", value))
    assert "acme-other" in registry.kinds()
    assert reason in registry.broken("acme-other")
    with pytest.raises(ProfileError, match=reason):
        registry.stage_class("acme-other")
