"""``compress stages``: list them and show their settings."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click

from compressor.cli.printed import echo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo


@click.group()
def stages() -> None:
    """List the stages and show their settings."""


@stages.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_stages(as_json: bool) -> None:
    """Every stage that a profile may use, and where it comes from; plug-ins are loaded to see if they work."""
    from compressor import registry
    from compressor.cli.console import print_json, print_table
    from compressor.errors import ProfileError

    rows = []
    for kind in registry.kinds():
        try:
            origin = registry.origin(kind)
            fault = "" if kind in registry.BUILT_IN else registry.broken(kind)
        except ProfileError as error:
            origin, fault = "", error.message
        rows.append((kind, origin, f"broken: {fault}" if fault else "ok"))
    if as_json:
        print_json({"stages": [dict(zip(("kind", "origin", "state"), row, strict=True)) for row in rows]})
        return
    print_table("", ["stage", "from", ""], rows)


@stages.command()
@click.argument("kind")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON schema of its settings.")
def show(kind: str, as_json: bool) -> None:
    """The settings of a stage: type, default and meaning of each."""
    from compressor import registry
    from compressor.cli.console import print_json, print_table
    from compressor.models import FORM_NAMES

    stage = registry.stage_class(kind)
    if as_json:
        print_json(stage.model_json_schema())
        return
    echo(f"{kind}: {inspect.getdoc(stage)}\n")
    echo(f"takes a {stage.accepted_names()}, gives a {FORM_NAMES[stage.produces]}\n")
    print_table("", ["setting", "type", "default", "meaning"], list(settings_rows(stage)))


def settings_rows(table: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each setting of a table, and of the tables inside it.

    Args:
        table: The settings.
        prefix: What stands before each name.
    """
    from compressor.faults import table_at

    for name, setting in table.model_fields.items():
        inner = table_at(table, [name])
        yield (f"{prefix}{name}", _type(setting), _default(setting, inner), setting.description or "")
        if inner is not None:
            yield from settings_rows(inner, f"{prefix}{name}.")


def _type(setting: FieldInfo) -> str:
    from compressor.faults import type_name

    return type_name(setting.annotation)


def _default(setting: FieldInfo, inner: type[BaseModel] | None) -> str:
    if setting.is_required():
        return "required"
    value = setting.get_default(call_default_factory=True, validated_data={})
    if inner is not None:
        return "" if value is not None else "none"
    return "none" if value is None else repr(value) if isinstance(value, str) else str(value)
