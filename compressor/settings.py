"""What every table of settings refuses: names it doesn't know, and values of another kind than it asks for."""

from typing import Any, get_origin

from pydantic import BaseModel, ConfigDict, model_validator

# No count of anything that a machine can do is larger, and no library counts further without trouble.
LARGEST = 10**9


class Settings(BaseModel):
    """Frozen settings, read strictly: ``true`` is no number, ``"3"`` none either, and neither is infinity.

    A list, as TOML and JSON write it, is taken for a tuple.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kept = {name for name, field in cls.model_fields.items() if get_origin(field.annotation) is list}
        return {name: value if name in kept else _as_tuple(value) for name, value in values.items()}

    @model_validator(mode="after")
    def _counts_are_bounded(self) -> "Settings":
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, int) and abs(value) > LARGEST:
                raise ValueError(f"{name} is larger than {LARGEST}")
        return self


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
