"""The schema of profiles takes what the reader takes, and refuses what it refuses."""

import json
import tomllib
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from compressor import registry
from compressor.cli.main import main
from compressor.profile import profile_path, shipped_names
from compressor.profile_schema import profile_schema

SCHEMA = profile_schema()
CHECK = Draft202012Validator(SCHEMA)
LEAST: dict[str, Any] = {"target": {"runtime": "onnxruntime"}, "stage": [{"kind": "export"}]}


def test_it_is_a_schema_with_every_stage() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert {f"stage_{kind}" for kind in registry.BUILT_IN} <= set(SCHEMA["$defs"])
    assert json.loads(CliRunner().invoke(main, ["profiles", "schema"]).stdout) == SCHEMA


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_profiles_keep_it(name: str) -> None:
    assert not list(CHECK.iter_errors(tomllib.loads(profile_path(name).read_text())))


@pytest.mark.parametrize(
    "changed",
    [
        {"target": {}},
        {"target": {"runtime": "tvm"}},
        {"stage": []},
        {"stage": [{"ratio": 0.5}]},
        {"stage": [{"kind": "prun"}]},
        {"stage": [{"kind": "prune", "rato": 0.5}]},
        {"stage": [{"kind": "prune", "train": {"epochs": "many"}}]},
        {"budget": {"size_mb": -1}},
        {"budgets": {}},
    ],
)
def test_what_a_profile_may_not_say(changed: dict[str, Any]) -> None:
    assert CHECK.is_valid(LEAST)
    assert not CHECK.is_valid({**LEAST, **changed})


def test_one_that_extends_another_may_leave_the_rest_to_it() -> None:
    assert CHECK.is_valid({"extends": "mobile-cpu", "target": {"threads": 2}})
    assert not CHECK.is_valid({"target": {"threads": 2}, "stage": LEAST["stage"]})
