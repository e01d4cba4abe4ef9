"""A profile's list of stages: which of them a kind of input goes through, with which settings, and what was typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from compressor import faults, registry
from compressor.assignments import parse_assignment
from compressor.errors import InputError, ProfileError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from compressor.stage import Stage

T = TypeVar("T", bound=BaseModel)
# The list of all kinds of input that have none of their own.
COMMON = ""
# Keys of a stage's table that are not its settings: which kinds of input go through it, and settings for one of them.
ONLY, FOR = "only", "for"


@dataclass
class Listed:
    """One stage of one list, not yet validated.

    Args:
        place: Its place in the file, from 1.
        table: Its kind and its settings, those for this kind of input over those for all.
        settings: Its class, None where it has none.
    """

    place: int
    table: dict[str, Any]
    settings: type[Stage] | None


Lists = dict[str, list[Listed]]


def lists_of(tables: Sequence[Mapping[str, Any]], found: list[str]) -> Lists:
    """The stages that each kind of input goes through, which a profile names, and those of all others.

    Args:
        tables: ``[[stage]]``, in order.
        found: Faults are added to it.
    """
    classes = [_stage_class(place, table, found) for place, table in enumerate(tables, start=1)]
    marked = [_marks(place, table, found) for place, table in enumerate(tables, start=1)]
    names = dict.fromkeys(name for only, own in marked for name in (*only, *own))
    lists: Lists = {}
    for name in (COMMON, *names):
        lists[name] = []
        for place, (table, settings, (only, own)) in enumerate(zip(tables, classes, marked, strict=True), start=1):
            if not only or name in only:
                merged = {key: value for key, value in table.items() if key not in (ONLY, FOR)}
                for key, value in own.get(name, {}).items():
                    _assign(merged, [key], value, settings)
                lists[name].append(Listed(place, merged, settings))
    return lists


def _marks(place: int, table: Mapping[str, Any], found: list[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Which kinds of input a stage is only for, and its settings for some of them."""
    only, own = table.get(ONLY, []), table.get(FOR, {})
    only = [only] if isinstance(only, str) else only
    where = f"stage {place} ({table.get('kind')})"
    if not isinstance(only, list) or not all(isinstance(name, str) for name in only):
        found.append(f"{where}: {ONLY}: got {faults.shown(only)}, wanted kinds of input: {ONLY} = ['texts']")
        only = []
    if not isinstance(own, dict) or not all(isinstance(one, dict) for one in own.values()):
        found.append(f"{where}: {FOR}: got {faults.shown(own)}, wanted settings: {FOR}.texts.train = {{ epochs = 2 }}")
        own = {}
    if only or own:
        from compressor.tasks import modalities

        known = modalities()
        for name in dict.fromkeys((*only, *own)):
            if name not in known:
                guess = did_you_mean(name, known) or f"; wanted one of {', '.join(known)}"
                found.append(f"{where}: no kind of input '{name}'{guess}")
    return list(only), own


def validated(settings: type[T], table: Any, where: str, found: list[str]) -> T | None:
    """A table as a record; what is wrong with it is added to ``found``."""
    try:
        return settings.model_validate(table)
    except ValidationError as error:
        found.extend(faults.sentences(error, settings, where))
        return None


def stages_of(lists: Lists, found: list[str]) -> dict[str, tuple[Stage, ...]]:
    """The stages of every list; what is wrong at one place of the file is said once, of all that it holds for."""
    stages: dict[str, list[Stage]] = {name: [] for name in lists}
    said: dict[str, list[str]] = {}
    for name, listed in lists.items():
        for one in listed:
            if one.settings is not None:
                values, wrong = {key: value for key, value in one.table.items() if key != "kind"}, list[str]()
                made = validated(one.settings, values, f"stage {one.place} ({one.settings.kind})", wrong)
                stages[name] += [made] if made is not None else []
                for fault in wrong:
                    said.setdefault(fault, []).append(name)
    for fault, names in said.items():
        whose = "" if COMMON in names else f" (for {' and '.join(names)})"
        found.append(f"{fault}{whose}")
    return {name: tuple(made) for name, made in stages.items()}


def override(raw: dict[str, Any], lists: Lists, typed: str, found: list[str]) -> None:
    """Set a value in every list of stages that has its table; it is a fault where none has."""
    try:
        key, value = parse_assignment(typed, "--set")
    except InputError as error:
        found.append(error.message)
        return
    head, _, rest = key.partition(".")
    labels = {name: _labels(listed) for name, listed in lists.items()}
    tables = ["target", "budget", *dict.fromkeys(label for own in labels.values() for label in own)]
    if not rest:
        found.append(f"--set {typed}: wanted TABLE.KEY=VALUE, with a table of: {', '.join(tables)}")
    elif head in ("target", "budget"):
        raw[head] = {**raw[head], rest: value}
    elif head in tables:
        for name, listed in lists.items():
            if head in labels[name]:
                one = listed[labels[name].index(head)]
                _assign(one.table, rest.split("."), value, one.settings)
    elif any(table.startswith(f"{head}#") for table in tables):
        several = [table for table in tables if table.startswith(f"{head}#")]
        found.append(f"--set {typed}: '{head}' occurs {len(several)} times; say {' or '.join(several)}")
    else:
        found.append(f"--set {typed}: the profile has no '{head}'{did_you_mean(head, tables)}")


def _labels(listed: Iterable[Listed]) -> list[str]:
    """How overrides call each stage: its kind, numbered (``prune#2``) where a kind occurs twice."""
    kinds = [str(one.table.get("kind")) for one in listed]
    return [
        kind if kinds.count(kind) == 1 else f"{kind}#{kinds[: place + 1].count(kind)}"
        for place, kind in enumerate(kinds)
    ]


def _assign(table: dict[str, Any], path: Sequence[str], value: Any, settings: type[BaseModel] | None) -> None:
    key, *rest = path
    alternatives = getattr(settings, "one_of", ()) if settings is not None else ()
    if key in alternatives:
        for other in alternatives:
            if other != key:
                table.pop(other, None)
    if not rest:
        # Whoever types a limit means it.
        table.pop("nearest", None)
        table[key] = value
        return
    table[key] = dict(inner) if isinstance(inner := table.get(key), dict) else {}
    _assign(table[key], rest, value, faults.table_at(settings, [key]) if settings is not None else None)


def _stage_class(place: int, table: Mapping[str, Any], found: list[str]) -> type[Stage] | None:
    kind = table.get("kind")
    if not isinstance(kind, str):
        found.append(f"stage {place}: no kind; wanted one of {', '.join(registry.kinds())}")
        return None
    try:
        return registry.stage_class(kind)
    except ProfileError as error:
        found.append(f"stage {place}: {error.message}")
        return None
