"""Whether the int8 file or its float twin is the one to ship."""

from collections.abc import Iterable

from torch import nn

from compressor.target import Budget

# Two timings of one file, in turns, differ by up to this share: less is no gain.
NOISE = 0.05


def wins(int8_ms: float, fp32_ms: float) -> bool:
    """Whether int8 is faster by more than two timings of one file differ."""
    return int8_ms < fp32_ms * (1 - NOISE)


def needs_int8(budget: Budget, fp32_bytes: int, int8_bytes: int, reference: nn.Module) -> str:
    """Which budget of size the float file misses and the int8 file meets; empty if none.

    Args:
        budget: The run's.
        fp32_bytes: Of the float file.
        int8_bytes: Of the int8 file.
        reference: Its file is taken to be as large as its parameters in float32.
    """
    limits: list[tuple[str, float | None]] = [("size_mb", budget.size_mb and budget.size_mb * 1e6)]
    limits.append(("size", budget.size and budget.size * _bytes_of(reference.parameters())))
    for name, limit in limits:
        if limit and int8_bytes <= limit < fp32_bytes:
            return f"budget.{name}: the float file has {fp32_bytes / 1e6:.2f} MB of {limit / 1e6:.2f}"
    return ""


def _bytes_of(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters) * 4


def verdict(fp32_ms: float, int8_ms: float, fp32_bytes: int, int8_bytes: int) -> str:
    """How int8 compares with the same network in float, in words."""
    figures = f"p50 {int8_ms:.3f} against {fp32_ms:.3f} ms, {int8_bytes / 1e6:.3f} against {fp32_bytes / 1e6:.3f} MB"
    if wins(int8_ms, fp32_ms):
        return f"int8 is {fp32_ms / int8_ms:.2f} times faster than the same network in fp32 on this machine ({figures})"
    if wins(fp32_ms, int8_ms):
        return (
            f"int8 is SLOWER than the same network in fp32 on this machine, {int8_ms / fp32_ms:.2f} times ({figures})"
        )
    return f"int8 is as fast as the same network in fp32 on this machine, within {NOISE:.0%} ({figures})"
