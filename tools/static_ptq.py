"""ONNX Runtime's own post-training quantization of a file, to compare ours with."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from compressor.data import Data
from compressor.runners import int8_saturates


class Images(CalibrationDataReader):  # type: ignore[misc]
    """The batches that our own calibration sees."""

    def __init__(self, data: Data) -> None:
        self.batches = iter(list(data.training_batches(64, seed=0, epoch=0))[:8])

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """The next batch, or None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {"input": batch.inputs[0].numpy()}


def quantized_by_onnxruntime(path: Path, data: Data, folder: Path) -> Path:
    """``static.onnx`` in the folder: the same network in int8, U8S8, per channel, moving average of extremes.

    Weights have as many bits as ours have by default: 7 where this CPU's sums of products of 8 overflow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    quant_pre_process(path, folder / "prepared.onnx", skip_symbolic_shape=True)
    quantize_static(
        folder / "prepared.onnx",
        folder / "static.onnx",
        Images(data),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=int8_saturates(),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"CalibMovingAverage": True},
    )
    return folder / "static.onnx"
