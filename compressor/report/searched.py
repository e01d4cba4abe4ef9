"""What a report says of a search: every file that it measured, each part alone, and simpler ways."""

from typing import Literal

from pydantic import Field

from compressor.report.stages import Record


class FrontPoint(Record):
    """One network that a search measured: its exported file, on the validation split."""

    name: str
    made_by: list[str] = Field(description="the stages from the reference to it, in words")
    score: float
    score_stderr: float | None = None
    score_drop: float
    score_drop_stderr: float | None = None
    size_bytes: int
    latency_ms: float | None = None
    reference_latency_ms: float | None = None
    params: int | None = None
    macs: int | None = None
    precision: str
    epochs: int = Field(description="of training, all stages together")
    meets: bool = Field(description="whether it meets every goal that could be measured")
    on_front: bool = Field(description="whether no other one is as good in size, latency and score, and better in one")
    chosen: bool = False
    artifact: str = Field(description="its file, relative to the report")
    sha256: str = Field(description="of that file")


class Sensitivity(Record):
    """What the score loses by one part of a network alone, without training, on samples of the validation split.

    Either channels that only leave together, at one ratio, or the weights and activations of one layer in int8. What
    wasn't measured has no drop, and a reason.
    """

    name: str = Field(description="the layer, or the first of those whose channels leave together")
    kind: Literal["channels", "precision"]
    layers: list[str] = Field(default_factory=list, description="all layers that lose channels, or are rounded")
    ratio: float | None = Field(default=None, description="of channels removed, before they are rounded to a multiple")
    drop: float | None = Field(default=None, description="the whole network's score minus this one's, paired")
    stderr: float | None = None
    predicted: float | None = Field(default=None, description="what went counts by the ranking, summed")
    params: int | None = Field(default=None, description="parameters fewer; of precision: that became integers")
    macs: int | None = Field(default=None, description="multiply-accumulates fewer")
    samples: int = 0
    reason: str = ""


class Baseline(Record):
    """What a simpler way found with as much training: the best file of it, on the validation split."""

    name: str
    made_by: list[str] = Field(description="the stages from the reference to it, in words")
    size_bytes: int
    latency_ms: float | None = None
    reference_latency_ms: float | None = None
    score_drop: float
    score_drop_stderr: float | None = None
    epochs: int = Field(description="of all its trainings")
    meets: bool = Field(description="whether it meets every goal that could be measured")
    artifact: str = Field(description="its file, relative to the report")
    sha256: str = Field(description="of that file")


class Search(Record):
    """What a search did to find the run's stages."""

    objective: str
    goals: dict[str, float]
    split: str
    samples: int
    epochs: int = Field(description="of all trainings")
    seconds: dict[str, float] = Field(description="training, measuring, and the search's own")
    front: list[FrontPoint] = Field(default_factory=list, description="every point, in the order of measuring")
    notes: list[str] = Field(default_factory=list)
    sensitivity: list[Sensitivity] = Field(
        default_factory=list, description="of the network that the search began with, part by part"
    )
    baselines: list[Baseline] = Field(default_factory=list, description="what simpler ways found, for comparison")
