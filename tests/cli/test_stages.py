"""``compress stages``."""

import json

import pytest
from click.testing import CliRunner, Result

from compressor import registry
from compressor.cli.main import main


def compress(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["stages", *arguments])


def test_list_says_where_each_comes_from() -> None:
    listed = json.loads(compress("list", "--json").stdout)["stages"]
    assert [row["kind"] for row in listed[:6]] == list(registry.BUILT_IN)
    assert listed[2] == {"kind": "prune", "origin": "compressor.prune.stage:Prune", "state": "ok"}


def test_a_broken_plug_in_is_listed_as_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    entry = EntryPoint("acme-fold", "not_there:Fold", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    listed = json.loads(compress("list", "--json").stdout)["stages"]
    assert listed[-1]["kind"] == "acme-fold" and "No module named 'not_there'" in listed[-1]["state"]
    asked = compress("show", "acme-fold")
    assert asked.exit_code == 2 and "is broken" in asked.stderr


@pytest.mark.parametrize("kind", list(registry.BUILT_IN))
def test_show_explains_every_setting(kind: str) -> None:
    shown = compress("show", kind).stdout
    schema = json.loads(compress("show", kind, "--json").stdout)
    assert all(name in shown for name in schema["properties"])
    assert all("description" in setting or "$ref" in str(setting) for setting in schema["properties"].values())


def test_show_unknown_is_guessed() -> None:
    result = compress("show", "quantise")
    assert result.exit_code == 2 and "did you mean 'quantize'" in result.stderr
