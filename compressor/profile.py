"""A profile: facts about a target and choices for the stages, read from TOML with every fault at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from compressor import faults, registry
from compressor.assignments import parse_assignment
from compressor.errors import InputError, ProfileError, did_you_mean
from compressor.reading import placed, read_toml
from compressor.target import Goals, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from compressor.stage import Stage

T = TypeVar("T", bound=BaseModel)
TOP_LEVEL = ("extends", "summary", "target", "budget", "stage", "text")
# Which of a profile's lists of stages a task goes through; tasks that aren't here go through [[stage]].
LISTS = ("stage", "text")


@dataclass(frozen=True)
class Profile:
    """What to build for: the target, what it may cost, and the stages that get there.

    Args:
        name: The file's stem.
        summary: One line.
        target: The device and its runtime.
        budget: Limits of the last artifact, and what a search does within them.
        stages: In order, at least one.
        text_stages: The same for text networks; empty where the profile has none of its own for them.
        extends: The profile it was merged over; empty for none.
        overrides: What was set on top of the file, as typed.
    """

    name: str
    summary: str
    target: Target
    budget: Goals
    stages: tuple[Stage, ...]
    extends: str = ""
    overrides: tuple[str, ...] = field(default=())
    text_stages: tuple[Stage, ...] = field(default=())

    def for_text(self) -> Profile:
        """The profile with its stages for text networks, where it has such."""
        return replace(self, stages=self.text_stages or self.stages, text_stages=())

    def as_dict(self) -> dict[str, Any]:
        """The whole profile with every default filled in, as JSON values."""
        return {
            "name": self.name,
            "summary": self.summary,
            "extends": self.extends,
            "overrides": list(self.overrides),
            "target": self.target.model_dump(mode="json"),
            "budget": self.budget.model_dump(mode="json", exclude_none=True),
            "stages": [{"kind": stage.kind, **stage.model_dump(mode="json")} for stage in self.stages],
        }


def shipped_folder() -> Path:
    """Where the shipped profiles lie: inside the package once installed, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "profiles"
    return inside if inside.is_dir() else package.parent / "profiles"


def shipped_names() -> list[str]:
    """The names of the shipped profiles."""
    return sorted(path.stem for path in shipped_folder().glob("*.toml"))


def profile_path(name_or_path: str) -> Path:
    """The file of a profile: a shipped name, or a path to a TOML file.

    Raises:
        ProfileError: There is neither.
    """
    shipped = shipped_folder() / f"{name_or_path}.toml"
    if name_or_path in shipped_names():
        return shipped
    path = placed(name_or_path, "profile", "compress profiles list", ProfileError)
    if path.is_file():
        return path
    names = shipped_names()
    raise ProfileError(
        f"no profile '{name_or_path}': neither a shipped one ({', '.join(names)}) nor a file"
        f"{did_you_mean(name_or_path, names)}",
        "compress profiles list",
    )


def load_profile(name_or_path: str, overrides: Sequence[str] = ()) -> Profile:
    """Read a profile.

    ``extends`` merges it over one other profile: ``[target]`` and ``[budget]`` key by key, ``[[stage]]``
    as a whole. Overrides come last: ``prune.ratio=0.5``, ``distill.train.epochs=3``, ``budget.size_mb=2``,
    ``target.threads=2``; of a kind that occurs twice, ``prune#2.ratio=0.5`` is the second. Where a stage
    takes one of several settings (its ``one_of``), overriding one drops the others.

    Args:
        name_or_path: A shipped profile's name, or a path.
        overrides: ``TABLE.KEY=VALUE`` each.

    Raises:
        ProfileError: Listing every fault.
    """
    path = profile_path(name_or_path)
    found: list[str] = []
    raw, extends = merged_tables(path, found)
    classes = {
        name: [_stage_class(_where(name, index), table, found) for index, table in enumerate(raw[name], start=1)]
        for name in LISTS
    }
    for override in overrides:
        _override(raw, classes, override, found)
    target = _validated(Target, raw["target"], "[target]", found)
    budget = _validated(Goals, raw["budget"], "[budget]", found)
    stages = _stages(raw, classes, found)
    if not raw["stage"]:
        found.append("no [[stage]]: a profile needs at least one")
    if found:
        listed = "".join(f"\n  - {fault}" for fault in found)
        count = "1 fault" if len(found) == 1 else f"{len(found)} faults"
        raise ProfileError(f"profile '{name_or_path}' has {count}:{listed}", f"compress profiles check {name_or_path}")
    assert target is not None and budget is not None
    summary, common, text = str(raw["summary"]), stages["stage"], stages["text"]
    return Profile(path.stem, summary, target, budget, common, extends, tuple(overrides), text)


def _where(name: str, index: int) -> str:
    return f"stage {index}" if name == "stage" else f"{name} stage {index}"


def _stages(
    raw: Mapping[str, Any], classes: Mapping[str, Sequence[type[Stage] | None]], found: list[str]
) -> dict[str, tuple[Stage, ...]]:
    """The stages of every list; what is wrong with several of a kind, as an override makes it, is said once."""
    stages: dict[str, list[Stage]] = {name: [] for name in LISTS}
    said: dict[tuple[str, str], list[str]] = {}
    for name in LISTS:
        for index, (table, stage) in enumerate(zip(raw[name], classes[name], strict=True), start=1):
            if stage is not None:
                where, wrong = f"{_where(name, index)} ({table['kind']})", list[str]()
                settings = {key: value for key, value in table.items() if key != "kind"}
                made = _validated(stage, settings, where, wrong)
                stages[name] += [made] if made is not None else []
                for fault in wrong:
                    said.setdefault((stage.kind, fault.removeprefix(where)), []).append(where)
    found.extend(f"{' and '.join(places)}{fault}" for (_, fault), places in said.items())
    return {name: tuple(made) for name, made in stages.items()}


def chain_faults(profile: Profile) -> list[str]:
    """Where the stages' forms don't fit, one sentence each; a run starts from a torch module."""
    from compressor.models import FORM_NAMES, TorchModel

    found = []
    form: type = TorchModel
    giver = "the model"
    for index, stage in enumerate(profile.stages, start=1):
        if form not in stage.accepts:
            given = FORM_NAMES[form]
            article = "an" if given[0] in "AEIOaeio" else "a"
            wanted = stage.accepted_names()
            found.append(f"stage {index} ({stage.kind}) takes a {wanted}, but {giver} gives {article} {given}")
        form, giver = stage.produces, f"stage {index} ({stage.kind})"
    return found


def merged_tables(path: Path, found: list[str]) -> tuple[dict[str, Any], str]:
    """The tables of a profile's file over those it extends, not yet validated, and what it extends.

    Args:
        path: The file.
        found: Faults are added to it.
    """
    raw = _read(path, found)
    parent: dict[str, Any] = {}
    extends = raw.get("extends", "")
    if extends:
        parent_path = _parent_path(str(extends), path)
        parent = _read(parent_path, found)
        if parent.get("extends"):
            found.append(
                f"extends: '{extends}' itself extends '{parent['extends']}'; only one level is followed, "
                f"extend '{parent['extends']}' or copy it"
            )
    return {
        "summary": raw.get("summary", parent.get("summary", "")),
        "target": {**parent.get("target", {}), **raw.get("target", {})},
        "budget": {**parent.get("budget", {}), **raw.get("budget", {})},
        **{name: [dict(table) for table in raw.get(name, parent.get(name, []))] for name in LISTS},
    }, str(extends)


def _parent_path(extends: str, child: Path) -> Path:
    hint = "the name of a shipped profile, or of a file beside this one"
    beside = child.parent / placed(extends, f"{child}: extends", hint, ProfileError)
    return beside if beside.is_file() else profile_path(extends)


def _read(path: Path, found: list[str]) -> dict[str, Any]:
    raw = read_toml(path, "compress profiles show mobile-cpu", ProfileError)
    for key in [key for key in raw if key not in TOP_LEVEL]:
        found.append(f"no key '{key}' at the top level{did_you_mean(key, TOP_LEVEL)}")
        del raw[key]
    if isinstance(raw.get("text"), dict) and isinstance(raw["text"].get("stage"), list):
        raw["text"] = raw["text"]["stage"]
    kinds = {"target": dict, "budget": dict, "stage": list, "text": list, "summary": str, "extends": str}
    for key, kind in kinds.items():
        value = raw.get(key)
        of_tables = not isinstance(value, list) or all(isinstance(one, dict) for one in value)
        if key in raw and not (isinstance(value, kind) and of_tables):
            tables = "tables [[stage]]" if key == "stage" else f"tables [[{key}.stage]]"
            wanted = {dict: f"a table [{key}]", list: tables, str: "a string"}[kind]
            found.append(f"{key}: got {faults.shown(raw[key])}, wanted {wanted}")
            del raw[key]
    return raw


def _stage_class(where: str, table: Mapping[str, Any], found: list[str]) -> type[Stage] | None:
    kind = table.get("kind")
    if not isinstance(kind, str):
        found.append(f"{where}: no kind; wanted one of {', '.join(registry.kinds())}")
        return None
    try:
        return registry.stage_class(kind)
    except ProfileError as error:
        found.append(f"{where}: {error.message}")
        return None


def _validated(settings: type[T], table: Any, where: str, found: list[str]) -> T | None:
    try:
        return settings.model_validate(table)
    except ValidationError as error:
        found.extend(faults.sentences(error, settings, where))
        return None


def _override(
    raw: dict[str, Any], classes: Mapping[str, Sequence[type[Stage] | None]], override: str, found: list[str]
) -> None:
    """Set a value in every list of stages that has its table; it is a fault where none has."""
    try:
        key, value = parse_assignment(override, "--set")
    except InputError as error:
        found.append(error.message)
        return
    head, _, rest = key.partition(".")
    labels = {name: _stage_labels(raw[name]) for name in LISTS}
    tables = ["target", "budget", *dict.fromkeys(label for name in LISTS for label in labels[name])]
    if not rest:
        found.append(f"--set {override}: wanted TABLE.KEY=VALUE, with a table of: {', '.join(tables)}")
    elif head in ("target", "budget"):
        raw[head] = {**raw[head], rest: value}
    elif head in tables:
        for name in LISTS:
            if head in labels[name]:
                place = labels[name].index(head)
                _assign(raw[name][place], rest.split("."), value, classes[name][place])
    elif any(table.startswith(f"{head}#") for table in tables):
        several = [table for table in tables if table.startswith(f"{head}#")]
        found.append(f"--set {override}: '{head}' occurs {len(several)} times; say {' or '.join(several)}")
    else:
        found.append(f"--set {override}: the profile has no '{head}'{did_you_mean(head, tables)}")


def _stage_labels(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    """How overrides call each stage: its kind, numbered (``prune#2``) where a kind occurs twice."""
    kinds = [str(table.get("kind")) for table in tables]
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
