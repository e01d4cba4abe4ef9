"""The JSON schema of profiles, for editors that complete and check TOML by one (Taplo, Even Better TOML)."""

from typing import Any

from compressor import registry
from compressor.stage_tables import FOR, ONLY
from compressor.target import Goals, Target
from compressor.tasks import modalities

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def profile_schema() -> dict[str, Any]:
    """The schema of a profile's file, with every stage there is, plug-ins too."""
    definitions: dict[str, Any] = {}
    target = _taken(Target.model_json_schema(), definitions)
    # What a profile doesn't say it has of the one that it extends.
    needed = {"required": ["target", "stage"], "properties": {"target": {"required": target.pop("required")}}}
    stages = [{"$ref": f"#/$defs/{_stage(kind, definitions)}"} for kind in registry.kinds()]
    return {
        "$schema": DRAFT,
        "title": "a profile of compressor",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "extends": {"type": "string", "description": "a profile that this one is merged over"},
            "summary": {"type": "string", "description": "one line"},
            "target": target,
            "budget": _taken(Goals.model_json_schema(), definitions),
            "stage": {"type": "array", "minItems": 1, "items": {"oneOf": stages}},
        },
        "if": {"not": {"required": ["extends"]}},
        "then": needed,
        "$defs": definitions,
    }


def _stage(kind: str, definitions: dict[str, Any]) -> str:
    schema = _taken(registry.stage_class(kind).model_json_schema(), definitions)
    own = schema.get("properties", {})
    names = list(modalities())
    some = {"type": "object", "additionalProperties": False, "properties": own}
    schema["properties"] = {
        "kind": {"const": kind},
        ONLY: {"description": "kinds of input that it is for", "type": "array", "items": {"enum": names}},
        FOR: {
            "description": "settings for one kind of input in place of those for all",
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(names, some),
        },
        **own,
    }
    schema["required"] = ["kind", *schema.get("required", [])]
    definitions[f"stage_{kind}"] = schema
    return f"stage_{kind}"


def _taken(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A model's schema, its own definitions put among those of all."""
    for name, one in schema.pop("$defs", {}).items():
        definitions.setdefault(name, one)
    return schema
