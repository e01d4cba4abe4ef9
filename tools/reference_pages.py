"""The site's reference, made from the code that it describes: commands, profiles, stages, Python names, report.json."""

import dataclasses
import html
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import click
from pydantic import BaseModel

import compressor
from compressor import registry, report
from compressor.cli.main import main
from compressor.cli.stages import settings_rows
from compressor.models import FORM_NAMES
from compressor.profile import profile_path, shipped_names
from compressor.profile_schema import profile_schema
from compressor.target import Goals, Target

SETTINGS = ("setting", "type", "default", "meaning")
SECTIONS = ("Args", "Returns", "Raises", "Yields", "Attributes")


@cache
def reference_pages() -> dict[str, str]:
    """Markdown by the page's place on the site."""
    return {
        "reference/cli.md": "# Command line\n\n" + "\n\n".join(commands()),
        "reference/profiles.md": "# Profiles\n\n" + "\n\n".join(profiles()),
        "reference/stages.md": "# Stages\n\n" + "\n\n".join(stages()),
        "reference/python.md": "# Python\n\n" + "\n\n".join(python_names()),
        "reference/report.md": "# report.json\n\n" + "\n\n".join(records()),
    }


# ---- commands


def commands() -> Iterator[str]:
    """Every command with its usage, help, arguments and options."""
    top = click.Context(main, info_name="compress", **main.context_settings)
    for name in main.list_commands(top):
        command = main.get_command(top, name)
        if command is not None:
            yield from _command(command, click.Context(command, info_name=name, parent=top))


def _command(command: click.Command, ctx: click.Context) -> Iterator[str]:
    depth = 2 if ctx.parent is not None and ctx.parent.parent is None else 3
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    parts = [f"{'#' * depth} {ctx.command_path}", f"```text\n{usage}\n```", _help(command)]
    options = [one for one in command.get_params(ctx) if isinstance(one, click.Option) and not one.hidden]
    rows = [(_code(_spelled(one, ctx)), _code(_default(one)), plain(one.help or "")) for one in options]
    parts.append(table(("option", "default", "meaning"), rows))
    yield "\n\n".join(parts)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            if inner is not None:
                yield from _command(inner, click.Context(inner, info_name=name, parent=ctx))


def _help(command: click.Command) -> str:
    """A command's help; what click must not wrap (a line with \\b before it) stays as it is."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(
        f"```text\n{one.partition(chr(10))[2]}\n```" if one.startswith("\b") else plain(one) for one in paragraphs
    )


def _spelled(option: click.Option, ctx: click.Context) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag or option.count else f"{names} {option.make_metavar(ctx)}"


def _default(option: click.Option) -> str:
    value = option.to_info_dict()["default"]
    if option.required:
        return "required"
    if option.multiple:
        return "repeatable"
    return "" if option.is_flag or value is None or value == "" else str(value)


# ---- profiles and stages


def profiles() -> Iterator[str]:
    """Every shipped profile as it is, then the tables that all of them have."""
    for name in shipped_names():
        yield f"## {name}\n\n```toml\n{profile_path(name).read_text().strip()}\n```"
    described = profile_schema()["properties"]
    rows = [(_code(name), plain(one["description"])) for name, one in described.items() if "$ref" not in one
            and one.get("type") == "string"]  # fmt: skip
    yield "## First lines\n\n" + table(("setting", "meaning"), rows)
    yield f"## [target]\n\n{plain(inspect.getdoc(Target) or '')}\n\n{_settings(Target)}"
    yield f"## [budget]\n\n{plain(inspect.getdoc(Goals) or '')}\n\n{_settings(Goals)}"
    yield (
        "## [[stage]]\n\nThe stages in their order, each with its `kind` and the settings that differ from the "
        "defaults; stages with `only`, and settings under `for`, are for one kind of input. [Stages](stages.md) has "
        "the settings."
    )


def stages() -> Iterator[str]:
    """Every stage of this package: what it takes and gives, and its settings."""
    for kind in registry.BUILT_IN:
        stage = registry.stage_class(kind)
        flow = f"Takes a {stage.accepted_names()}, gives a {FORM_NAMES[stage.produces]}."
        yield f"## {kind}\n\n{plain(inspect.getdoc(stage) or '')}\n\n{flow}\n\n{_settings(stage)}"


def _settings(model: type[BaseModel]) -> str:
    rows = [(_code(name), plain(kind), _code(default), plain(meaning))
            for name, kind, default, meaning in settings_rows(model)]  # fmt: skip
    return table(SETTINGS, rows)


# ---- Python


def python_names() -> Iterator[str]:
    """What ``compressor`` gives: signatures and docstrings."""
    for name in compressor.__all__:
        found = getattr(compressor, name)
        parts = [f"## {name}", f"```python\n{_signature(name, found)}\n```", docstring(found)]
        if inspect.isclass(found):
            for inner, method in vars(found).items():
                function = getattr(method, "__func__", getattr(method, "fget", method))
                if inner.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
                    continue
                shown = inner if isinstance(method, property) else _signature(inner, function)
                parts += [f"### {name}.{inner}", f"```python\n{shown}\n```", docstring(function)]
        yield "\n\n".join(parts)


def _signature(name: str, found: Any) -> str:
    if inspect.isclass(found):
        if issubclass(found, BaseModel):
            return f"class {name}"
        fields = dataclasses.fields(found) if dataclasses.is_dataclass(found) else ()
        listed = "".join(f"    {one.name}: {_typed(one.type)}\n" for one in fields if not one.name.startswith("_"))
        return f"class {name}({chr(10)}{listed})" if listed else f"class {name}"
    signature = inspect.signature(found)
    arguments, starred = [], False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not starred:
            starred = True
            arguments.append("*")
        annotation = "" if one.annotation is one.empty else f": {_typed(one.annotation)}"
        default = "" if one.default is one.empty else f" = {_value(one.default)}"
        arguments.append(f"{one.name}{annotation}{default}")
    given = "" if signature.return_annotation is signature.empty else f" -> {_typed(signature.return_annotation)}"
    inner = "".join(f"    {one},\n" for one in arguments)
    return f"{name}(\n{inner}){given}" if len(arguments) > 2 else f"{name}({', '.join(arguments)}){given}"


def _typed(annotation: Any) -> str:
    shown = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", shown)


def _value(default: Any) -> str:
    return default.__name__ if callable(default) else repr(default)


def docstring(found: Any) -> str:
    """A Google docstring as Markdown: the sections' entries as lists, code as it stands."""
    lines: list[str] = []
    section = ""
    for line in (inspect.getdoc(found) or "").splitlines():
        head = line.rstrip(":")
        if line.endswith(":") and head in SECTIONS:
            section = head
            lines += [f"**{head}**", ""]
        elif section and line.startswith("        "):
            lines[-1] += f" {line.strip()}"
        elif section and (entry := re.match(r" {4}(\*{0,2}\w+): (.*)", line)) and section not in ("Returns", "Yields"):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        elif section and line.startswith("    "):
            lines.append(line.strip())
        else:
            section = section if not line else ""
            lines.append(line)
    return re.sub(r"``([^`]+)``", r"`\1`", "\n".join(lines))


# ---- report.json


def records() -> Iterator[str]:
    """The report and every record inside it, the outermost first."""
    yield (
        "What a run's `report.json` holds. Fields are added, never renamed; `null` is what wasn't measured. "
        f"The schema's version is {report.SCHEMA_VERSION}."
    )
    found = [one for one in vars(report).values() if inspect.isclass(one) and issubclass(one, BaseModel)]
    own = [one for one in found if one.__module__.startswith(report.__name__) and not one.__name__.startswith("_")]
    ordered: list[type[BaseModel]] = [report.Report, *(one for one in own if one is not report.Report)]
    for record in ordered:
        rows = [
            (_code(name), _linked(_typed(field.annotation), own), plain(field.description or ""))
            for name, field in record.model_fields.items()
        ]
        about = docstring(record)
        yield f"## {record.__name__}\n\n{about}\n\n{table(('field', 'type', 'meaning'), rows)}"


def _linked(kind: str, own: Sequence[type]) -> str:
    names = {one.__name__ for one in own}
    return "".join(f"[{word}](#{word.lower()})" if word in names else plain(word) for word in re.split(r"(\w+)", kind))


# ---- Markdown


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing where there are no rows."""
    listed = list(rows)
    lines = [head, ["---"] * len(head), *listed] if listed else []
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def plain(text: str) -> str:
    """Text that Markdown shows as it is written; code in double backticks stays code."""
    pieces = re.split(r"``([^`]+)``", text)
    return "".join(
        _code(piece) if place % 2 else re.sub(r"([*_\[\]|\\`])", r"\\\1", html.escape(piece, quote=False))
        for place, piece in enumerate(pieces)
    )


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`" if text else ""
