"""One cause of lost time or bytes: where, why, what it costs, what ends it."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

SHOWN = 4


class Finding(BaseModel):
    """One cause.

    Costs are what goes when the cause goes: milliseconds of a call in the runtime, bytes of the file.
    None where the cause costs none of it, or nobody measured it.
    """

    model_config = ConfigDict(frozen=True)

    kind: str = Field(description="the rule that found it, 'stray-qdq'")
    where: tuple[str, ...] = Field(description="nodes of the graph, or tensors of the file")
    cause: str
    fix: str
    milliseconds: float | None = None
    size_bytes: int | None = None


def listed(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
