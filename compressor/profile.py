"""A profile: facts about a target and choices for the stages, read from TOML with every fault at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compressor import faults
from compressor.errors import ProfileError, did_you_mean
from compressor.reading import placed, read_toml
from compressor.stage_tables import COMMON, lists_of, override, stages_of, validated
from compressor.target import Goals, Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compressor.stage import Stage

TOP_LEVEL = ("extends", "summary", "target", "budget", "stage")


@dataclass(frozen=True)
class Profile:
    """What to build for: the target, what it may cost, and the stages that get there.

    Args:
        name: The file's stem.
        summary: One line.
        target: The device and its runtime.
        budget: Limits of the last artifact, and what a search does within them.
        stages: In order, at least one.
        special: By kind of input the stages that it goes through instead, where the profile says so.
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
    special: Mapping[str, tuple[Stage, ...]] = field(default_factory=dict)

    def for_inputs(self, name: str) -> Profile:
        """The profile with the stages for this kind of input alone."""
        return replace(self, stages=self.special.get(name, self.stages), special={})

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
    as a whole. A stage with ``only = ["texts"]`` is for that kind of input alone, ``for.texts.train = {...}`` a setting
    for it in place of the one for all. Overrides come last, and hold for every kind of input:
    ``prune.ratio=0.5``, ``distill.train.epochs=3``, ``budget.size_mb=2``, ``target.threads=2``; of a kind that
    occurs twice, ``prune#2.ratio=0.5`` is the second. Where a stage takes one of several settings (its
    ``one_of``), overriding one drops the others.

    Args:
        name_or_path: A shipped profile's name, or a path.
        overrides: ``TABLE.KEY=VALUE`` each.

    Raises:
        ProfileError: Listing every fault.
    """
    path = profile_path(name_or_path)
    found: list[str] = []
    raw, extends = merged_tables(path, found)
    lists = lists_of(raw["stage"], found)
    for typed in overrides:
        override(raw, lists, typed, found)
    target = validated(Target, raw["target"], "[target]", found)
    budget = validated(Goals, raw["budget"], "[budget]", found)
    stages = stages_of(lists, found)
    if not raw["stage"]:
        found.append("no [[stage]]: a profile needs at least one")
    elif not lists[COMMON]:
        found.append("every [[stage]] is for some kinds of input only: a profile needs at least one for all others")
    if found:
        listed = "".join(f"\n  - {fault}" for fault in found)
        count = "1 fault" if len(found) == 1 else f"{len(found)} faults"
        raise ProfileError(f"profile '{name_or_path}' has {count}:{listed}", f"compress profiles check {name_or_path}")
    assert target is not None and budget is not None
    common = stages.pop(COMMON)
    return Profile(path.stem, str(raw["summary"]), target, budget, common, extends, tuple(overrides), stages)


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
        "stage": [dict(table) for table in raw.get("stage", parent.get("stage", []))],
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
    kinds = {"target": dict, "budget": dict, "stage": list, "summary": str, "extends": str}
    for key, kind in kinds.items():
        value = raw.get(key)
        of_tables = not isinstance(value, list) or all(isinstance(one, dict) for one in value)
        if key in raw and not (isinstance(value, kind) and of_tables):
            wanted = {dict: f"a table [{key}]", list: "tables [[stage]]", str: "a string"}[kind]
            found.append(f"{key}: got {faults.shown(raw[key])}, wanted {wanted}")
            del raw[key]
    return raw
