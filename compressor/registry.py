"""Which stages there are: the built-in ones by an explicit table, plug-ins by their entry points."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

from compressor.errors import ProfileError, did_you_mean

if TYPE_CHECKING:
    from compressor.stage import Stage

BUILT_IN = {
    "distill": "compressor.distill.stage:Distill",
    "recover": "compressor.distill.recover_stage:Recover",
    "prune": "compressor.prune.stage:Prune",
    "vocabulary": "compressor.prune.vocabulary_stage:Vocabulary",
    "quantize": "compressor.quantize.stage:Quantize",
    "export": "compressor.export.stage:Export",
}
GROUP = "compressor.stages"


def kinds() -> list[str]:
    """The names a profile may use, built-in ones first; nothing is imported for it."""
    return [*BUILT_IN, *(kind for kind in sorted(_plug_ins()) if kind not in BUILT_IN)]


def origin(kind: str) -> str:
    """Where a kind comes from: ``"module:Class"``, with its distribution for a plug-in.

    Raises:
        ProfileError: No stage of that name, or two of them.
    """
    found = _find(kind)
    return BUILT_IN[kind] if found is None else _place(found)


def stage_class(kind: str) -> type[Stage]:
    """The stage class of a kind, imported now.

    Raises:
        ProfileError: No stage of that name, two of them, or a plug-in that doesn't import or isn't a stage.
    """
    found = _find(kind)
    if found is None:
        module, _, name = BUILT_IN[kind].partition(":")
        return cast("type[Stage]", getattr(importlib.import_module(module), name))
    return _load_plug_in(kind, found)


def broken(kind: str) -> str:
    """Why a kind can't be used, in one line; empty where it can. Imports it."""
    try:
        stage_class(kind)
    except ProfileError as error:
        return error.message
    return ""


def _plug_ins() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def _find(kind: str) -> EntryPoint | None:
    """The plug-in of that name, or None for a built-in stage."""
    plug_ins = _plug_ins().get(kind, [])
    claims = [BUILT_IN[kind]] if kind in BUILT_IN else []
    claims += [_place(entry) for entry in plug_ins]
    if not claims:
        known = kinds()
        raise ProfileError(
            f"no stage '{kind}'{did_you_mean(kind, known)}", f"compress stages list, which knows: {', '.join(known)}"
        )
    if len(claims) > 1:
        raise ProfileError(
            f"two stages are called '{kind}': {' and '.join(claims)}",
            "uninstall one of the packages, or rename its entry",
        )
    return plug_ins[0] if plug_ins else None


def _load_plug_in(kind: str, entry: EntryPoint) -> type[Stage]:
    from compressor.stage import Stage

    hint = "repair or uninstall the package that declares it"
    try:
        loaded = entry.load()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ProfileError(f"stage '{kind}' from {_place(entry)} is broken: {reason}", hint) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Stage)):
        raise ProfileError(f"stage '{kind}' from {_place(entry)} is not a subclass of compressor.Stage", hint)
    if loaded.kind != kind:
        raise ProfileError(f"stage '{kind}' from {_place(entry)} calls itself '{loaded.kind}'", hint)
    return loaded


def _place(entry: EntryPoint) -> str:
    package = f" ({entry.dist.name})" if entry.dist is not None else ""
    return f"{entry.value}{package}"
