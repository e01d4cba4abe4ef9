"""Where a model will run, and what it may cost there."""

from typing import Literal

from pydantic import Field

from compressor.settings import Settings

# What a file is chosen by where one can't have both.
Prefer = Literal["speed", "size"]


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
