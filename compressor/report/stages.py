"""One stage of a report: what its file costs and is worth, and which layers it has."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Frozen; refuses fields that it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Latency(Record):
    """Latency of one call, in milliseconds, measured interleaved with the reference's.

    All figures are null where the target's runtime isn't on this machine; ``reason`` says so.
    """

    p50: float | None
    p90: float | None = None
    p99: float | None = None
    spread: float | None = Field(default=None, description="half the 16-84 % range of p50 over blocks, ms")
    runs: int = 0
    threads: int = 1
    batch: int = 1
    runtime: str
    reference_p50: float | None = Field(default=None, description="the reference's, of the same rounds")
    faster_low: float | None = Field(default=None, description="of reference_p50 / p50 by rounds: the 95 % interval")
    faster_high: float | None = None
    reason: str = ""


def in_ms_of(latency: Latency | None, first: Latency | None) -> float | None:
    """p50 as it would have been when the reference itself was timed: only the ratio to it holds on a busy machine.

    Args:
        latency: Of any file.
        first: The reference's own.
    """
    if latency is None or first is None or latency.p50 is None or first.p50 is None or not latency.reference_p50:
        return None
    return latency.p50 / latency.reference_p50 * first.p50


class Parity(Record):
    """The exported artifact against the torch form on real inputs; agreement of the top class."""

    max_abs_error: float
    mean_abs_error: float
    logit_std: float
    agreement: float
    samples: int


class KdComparison(Record):
    """The same stage with and without distillation, at equal steps."""

    with_kd: float
    without_kd: float
    seeds: int
    difference: float | None = Field(default=None, description="above 0 where distillation was better, paired")
    stderr: float | None = Field(default=None, description="of the difference: over samples, or over seeds")
    verdict: str = Field(default="", description="the same in words")


class Layer(Record):
    """One layer that bears weights, as a stage left it.

    Norms and biases, one or two numbers a channel, are neither listed nor counted.
    """

    name: str = Field(description="its place in the network: the module, or a parameter that is multiplied by itself")
    kind: str = Field(default="", description="the module's class, of torch or the network's own")
    channels: int | None = Field(default=None, description="that it makes; of a table the numbers of a row")
    weights: int = Field(description="numbers in its weights")
    precision: str = Field(description="in which they are stored: float32, float16, int8, int4")
    kept: str = Field(default="", description="why the stage took no channels from it")
    in_float: str = Field(default="", description="why it isn't in integers, where the network was quantized")


class StageRecord(Record):
    """One stage's snapshot, measured on its exported artifact."""

    name: str
    kind: str
    seconds: float
    cached: bool = False
    params: int | None = None
    macs: int | None = None
    size_bytes: int | None = None
    score: float | None = None
    score_stderr: float | None = None
    score_runtime: str = ""
    score_drop: float | None = Field(default=None, description="reference's score minus this one's, paired")
    score_drop_stderr: float | None = None
    scores: dict[str, float] = Field(default_factory=dict, description="the task's other scores")
    per_class: dict[str, float] = Field(default_factory=dict, description="recall per class name")
    latency_ms: Latency | None = None
    parity: Parity | None = None
    kd: KdComparison | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    decisions: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    layers: list[Layer] = Field(default_factory=list, description="with weights, of what the stage made")
    artifact: str | None = Field(default=None, description="path relative to the report")
