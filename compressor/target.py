"""Where a model will run, and what it may cost there."""

from typing import Literal

from pydantic import Field, model_validator

from compressor.settings import Settings

# What a file is chosen by where one can't have both.
Prefer = Literal["speed", "size"]
# What a search makes as small, or as large, as the limits allow.
Objective = Literal["size", "latency", "score"]
LIMITS = ("score_drop", "latency_ms", "latency", "size_mb", "size", "macs", "params")


class Target(Settings):
    """Facts about the device and its runtime."""

    runtime: Literal["onnxruntime", "tensorrt"] = Field(description="the runtime that will run the artifact")
    precision: Literal["int8", "fp16", "fp32"] = Field(
        default="int8", description="the lowest precision the device runs faster than fp32"
    )
    opset: int = Field(default=20, ge=18, le=22, description="ONNX opset; 23 and later don't build everywhere")
    channel_multiple: int = Field(
        default=8, ge=1, description="channel counts are rounded to this multiple; the device's vector width"
    )
    batch_size: int = Field(default=1, ge=1, description="samples per call, as the device will be called")
    threads: int = Field(default=1, ge=1, description="CPU threads while measuring")
    max_batch_size: int = Field(
        default=8, ge=1, description="upper end of the TensorRT engine's shape range; its optimum is batch_size"
    )
    length: int = Field(default=32, ge=2, description="of texts: tokens that a TensorRT engine is best at")
    max_length: int = Field(default=512, ge=2, description="of texts: upper end of the engine's shape range")


class Budget(Settings):
    """What the last artifact may cost at most; unset fields don't limit."""

    score_drop: float | None = Field(
        default=None, ge=0, description="how far the score may fall below the reference's; 0.01 is one point"
    )
    latency_ms: float | None = Field(default=None, gt=0, description="p50 in milliseconds at the target's batch size")
    latency: float | None = Field(default=None, gt=0, le=1, description="p50 as a fraction of the reference's")
    size_mb: float | None = Field(default=None, gt=0, description="file on disk in MB (10^6 bytes)")
    size: float | None = Field(default=None, gt=0, le=1, description="file on disk as a fraction of the reference's")
    macs: float | None = Field(default=None, gt=0, description="MACs that may remain: a fraction (<= 1) or a count")
    params: float | None = Field(default=None, gt=0, description="parameters that may remain: a fraction or a count")

    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: value for name in LIMITS if (value := getattr(self, name)) is not None}


class Goals(Budget):
    """What the last artifact may cost, and what is to be got out of that: the aims of a search.

    A prune stage that is told neither ratio nor budget is the one that is searched: as far as these allow.
    """

    minimize: Literal["size", "latency"] | None = Field(
        default=None,
        description="what a search makes as small as the limits allow; without it 'size' where score_drop is set and "
        "no size is, 'latency' where both are",
    )
    maximize: Literal["score"] | None = Field(
        default=None, description="a search looks for the best score within the limits; so it does without score_drop"
    )
    hours: float | None = Field(
        default=None, gt=0, le=1000, description="how long a search may take with all that follows it"
    )
    confidence: float | None = Field(
        default=None,
        gt=0.5,
        lt=1,
        description="score_drop counts as kept only where it is with this probability, given the validation samples; "
        "without it, by the measured value, and a search keeps one standard error in hand, at most half of score_drop",
    )

    @model_validator(mode="after")
    def _one_objective(self) -> "Goals":
        if self.minimize and self.maximize:
            raise ValueError("minimize and maximize exclude one another")
        if self.maximize and not self.limits().keys() - {"score_drop"}:
            raise ValueError("maximize = 'score' needs a limit on size, latency, macs or params")
        if self.minimize and self.score_drop is None:
            raise ValueError(
                f"minimize = '{self.minimize}' needs score_drop: the smallest network of all answers nothing"
            )
        return self

    @property
    def objective(self) -> Objective:
        """What is minimized or maximized."""
        if self.minimize or self.maximize:
            return self.minimize or "score"
        if self.score_drop is None:
            return "score"
        return "latency" if self.size is not None or self.size_mb is not None else "size"
