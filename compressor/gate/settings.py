"""What a gate asks of a file: limits, what may grow, and how sure it has to be."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from compressor.errors import InputError
from compressor.settings import Settings
from compressor.units import COUNTS, SHARES, SIZES, TIMES, quantity

# A call of a session alone takes longer than a microsecond.
SHORTEST = 1e-3


def _in(units: dict[str, float]) -> BeforeValidator:
    def read(given: Any) -> Any:
        if isinstance(given, bool) or not isinstance(given, (str, int, float)):
            return given
        try:
            return quantity("", str(given), units, "")
        except InputError as error:
            raise ValueError(error.message.strip()) from None

    return BeforeValidator(read)


Megabytes = Annotated[float, _in(SIZES)]
Milliseconds = Annotated[float, _in(TIMES)]
Count = Annotated[float, _in(COUNTS)]
Share = Annotated[float, _in(SHARES)]


class Tolerated(Settings):
    """How much worse than the baseline a figure may be: a share of it, of the score an absolute difference."""

    size: Share = Field(default=0.01, ge=0, description="growth of the file")
    latency: Share = Field(default=0.05, ge=0, description="growth of the time of a call")
    params: Share = Field(default=0.01, ge=0, description="growth of the parameters")
    macs: Share = Field(default=0.01, ge=0, description="growth of the multiply-accumulates")
    score: float = Field(default=0.005, ge=0, description="loss of score; 0.01 is one point")


class Gate(Settings):
    """The ``[gate]`` table, and what is typed in its place. Numbers may be texts with units: ``"500kB"``, ``"8ms"``."""

    max_size: Megabytes | None = Field(
        default=None, ge=1e-6, description="of the file: 2MB, 1.5MiB; a bare number is bytes"
    )
    max_latency: Milliseconds | None = Field(default=None, ge=SHORTEST, description="p50 of a call: 8ms")
    min_score: float | None = Field(default=None, description="the score on test, at least")
    max_score_drop: float | None = Field(default=None, ge=0, description="below the reference's: 0.01 is one point")
    max_params: Count | None = Field(default=None, ge=1, description="parameters: 250k")
    max_macs: Count | None = Field(default=None, ge=1, description="multiply-accumulates of a sample: 20M")
    baseline: str | None = Field(default=None, description="what nothing may be worse than: a run, a report, a file")
    tolerate: Tolerated = Tolerated()
    confidence: float = Field(default=0.99, gt=0.5, lt=1, description="of intervals of latency and score")
    seconds: float = Field(
        default=20.0, gt=0, le=3600, description="how long latency is measured before it is undecided"
    )
    undecided: Literal["measured", "fail", "pass"] = Field(
        default="measured", description="where the interval holds the limit: as the measured value says, or one way"
    )
    allow_unmeasured: bool = Field(default=False, description="take a figure that is missing for one that is kept")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: value for name in LIMITS if (value := getattr(self, name)) is not None}


LIMITS = ("max_size", "max_latency", "min_score", "max_score_drop", "max_params", "max_macs")
