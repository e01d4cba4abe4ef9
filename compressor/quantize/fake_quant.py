"""Modules that round values to integers and back while a network trains, and write Q/DQ when it is exported."""

from collections.abc import Callable
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor, nn

from compressor.models import WeightBits

# The smallest scale that half precision holds without losing bits.
SMALLEST_HALF_SCALE = 2.0**-14
SMALLEST_SCALE = 1e-12
# Symmetric weights leave the lowest integer unused, so that a weight and its negative are equally far off.
WEIGHT_LIMITS: dict[WeightBits, int] = {8: 127, 7: 63, 4: 7}
# Shares of the largest magnitude among which a scale of few bits is looked for.
SHARES = tuple(share / 20 for share in range(20, 7, -1))
ONNX_OPSET = 19
# The first with tensors of 4 bits.
FOUR_BITS_OPSET = 21
Limits = tuple[int, int]
Observe = Callable[[Tensor], None]


def limits_of(dtype: torch.dtype) -> Limits:
    """The smallest and largest integer of a type."""
    info = torch.iinfo(dtype)
    return info.min, info.max


def asymmetric_parameters(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The scale and zero_point of uint8 over [low, high], widened to contain 0.

    ``scale = (high - low) / 255``, ``zero_point = round(-low / scale)``. The largest value,
    ``255 * scale``, never exceeds ``high`` where ``low`` is 0: ONNX Runtime drops a ReLU6 only if the
    integers can't go past its bound.
    """
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = ((high - low) / 255).clamp(min=SMALLEST_SCALE)
    scale = torch.where(scale * 255 > high - low, torch.nextafter(scale, torch.zeros_like(scale)), scale)
    scale = scale.clamp(min=SMALLEST_SCALE)
    return scale, (-low / scale).round().clamp(0, 255)


def symmetric_scale(largest: Tensor, *, half: bool = False, bits: WeightBits = 8) -> Tensor:
    """``largest / 127`` (63 of 7 bits, 7 of 4); with ``half`` what half precision holds exactly, never below 2**-14."""
    scale = (largest / WEIGHT_LIMITS[bits]).clamp(min=SMALLEST_SCALE)
    return scale.half().float().clamp(min=SMALLEST_HALF_SCALE) if half else scale


class ActivationQuantizer(nn.Module):
    """Rounds a tensor to one grid: uint8 with a zero_point, or int8 around 0.

    The gradient passes unchanged inside the range and is 0 outside. ``enabled`` is off while the range
    is being measured; ``observer``, where set, is called with every tensor that passes.

    Args:
        dtype: ``torch.uint8`` or ``torch.int8``.
        half_scale: Keep to scales that half precision holds.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, dtype: torch.dtype, *, half_scale: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        self.half_scale = half_scale
        self.enabled = True
        self.observer: Observe | None = None
        self.register_buffer("scale", torch.tensor(1.0))
        # A float, so that a moving average of the buffers leaves a constant as it is.
        self.register_buffer("zero_point", torch.tensor(0.0))

    def set_range(self, low: float, high: float) -> None:
        """Fit the grid to [low, high]."""
        lowest, highest = torch.tensor(float(low)), torch.tensor(float(high))
        if self.dtype == torch.uint8:
            scale, zero_point = asymmetric_parameters(lowest, highest)
        else:
            scale = symmetric_scale(torch.maximum(-lowest, highest), half=self.half_scale)
            zero_point = torch.zeros(())
        self.scale.copy_(scale)
        self.zero_point.copy_(zero_point)

    def forward(self, x: Tensor) -> Tensor:
        """Round to the grid; the same shape and type."""
        if torch.onnx.is_in_onnx_export():
            return _quantize_dequantize(x, self.scale, self.zero_point.to(self.dtype))
        if self.observer is not None:
            self.observer(x.detach())
        if not self.enabled:
            return x
        rounded = torch.fake_quantize_per_tensor_affine(
            x.float(), self.scale, self.zero_point.to(torch.int32), *limits_of(self.dtype)
        )
        return rounded.to(x.dtype)


class SharedQuantizer(nn.Module):
    """Rounds to another quantizer's grid.

    Args:
        source: Whose grid; it stays its owner's submodule.
        rounds: False where the values lie on the grid already (a pooled or reshaped quantized tensor):
            they then pass untouched, and Q/DQ are written all the same, since the runtime looks for them.
    """

    def __init__(self, source: ActivationQuantizer, *, rounds: bool) -> None:
        super().__init__()
        self._source = (source,)
        self.rounds = rounds

    def forward(self, x: Tensor) -> Tensor:
        """Round to the source's grid."""
        if self.rounds or torch.onnx.is_in_onnx_export():
            rounded: Tensor = self._source[0](x)
            return rounded
        return x


class WeightQuantizer(nn.Module):
    """Rounds a weight to integers around 0, with one scale per output channel.

    Scales follow the weights in training, and stay what they were at the last step in eval mode. Those of 4 bits
    change by ``fit_to`` alone: 15 values can't reach the largest weights and tell the small ones apart, so the largest
    are clipped where that makes the squared error least, which takes a search.

    Args:
        channels: How many output channels.
        axis: Where they lie.
        bits: 8, 7 (all of int8, or half of it) or 4.
        half_scale: Keep to scales that half precision holds.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, channels: int, axis: int = 0, *, bits: WeightBits = 8, half_scale: bool = False) -> None:
        super().__init__()
        self.axis = axis
        self.bits = bits
        self.limit = WEIGHT_LIMITS[bits]
        self.half_scale = half_scale
        self.enabled = True
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("zero_point", torch.zeros(channels, dtype=torch.int32), persistent=False)

    @torch.no_grad()
    def fit_to(self, weight: Tensor) -> None:
        """Set each channel's scale: its largest magnitude / 127; of 4 bits that of the least squared error."""
        weight = weight.detach().float()
        others = [axis for axis in range(weight.dim()) if axis != self.axis]
        largest = weight.abs().amax(others)
        self.scale.copy_(symmetric_scale(largest, half=self.half_scale, bits=self.bits))
        if self.bits != 4:
            return
        best, least = self.scale.clone(), torch.full_like(largest, torch.inf)
        for share in SHARES:
            self.scale.copy_(symmetric_scale(share * largest, half=self.half_scale, bits=self.bits))
            error = (self._round(weight) - weight).square().sum(others)
            best, least = torch.where(error < least, self.scale, best), torch.minimum(error, least)
        self.scale.copy_(best)

    def forward(self, weight: Tensor) -> Tensor:
        """Round to the grid; the same shape, float32."""
        if torch.onnx.is_in_onnx_export():
            zero_point = torch.zeros_like(self.scale, dtype=torch.int8)
            return _quantize_dequantize(weight, self.scale, zero_point, axis=self.axis, bits=self.bits)
        if not self.enabled:
            return weight
        if self.training and self.bits != 4:
            self.fit_to(weight)
        return self._round(weight.float())

    def _round(self, weight: Tensor) -> Tensor:
        return torch.fake_quantize_per_channel_affine(
            weight, self.scale, self.zero_point, self.axis, -self.limit, self.limit
        )


def _quantize_dequantize(
    x: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None = None, bits: WeightBits = 8
) -> Tensor:
    """The pair of ONNX operators that a runtime reads as "this tensor is integers"."""
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    # torch has no type of 4 bits to say it with; the export packs what is marked so.
    marked = attributes if bits != 4 else {**attributes, "output_dtype": int(TensorProto.INT4)}
    quantized = torch.onnx.ops.symbolic(
        "QuantizeLinear",
        (x, scale, zero_point),
        marked,
        dtype=zero_point.dtype,
        shape=x.shape,
        version=ONNX_OPSET if bits != 4 else FOUR_BITS_OPSET,
    )
    return torch.onnx.ops.symbolic(
        "DequantizeLinear", (quantized, scale, zero_point), attributes, dtype=x.dtype, shape=x.shape, version=ONNX_OPSET
    )
