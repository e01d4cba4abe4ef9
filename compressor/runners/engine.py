"""A TensorRT engine as a runner, with torch tensors as its device memory."""

from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import torch

from compressor.errors import MissingError, ModelFileError, StageError
from compressor.extras import require
from compressor.runners.protocol import Arrays

if TYPE_CHECKING:
    import tensorrt


class EngineRunner:
    """Runs a serialized engine on the GPU it was built on; the same calls in TensorRT 10 and 11.

    One ``infer`` copies the inputs to the device, runs, and copies the logits back, as a caller would.

    Args:
        path: The engine file.
    """

    def __init__(self, path: Path) -> None:
        self._trt: ModuleType = require("tensorrt")
        if not torch.cuda.is_available():
            raise MissingError(
                "a TensorRT engine needs an NVIDIA GPU, and torch sees none", "nvidia-smi, on the device"
            )
        self._path = path
        self._engine: tensorrt.ICudaEngine | None = None
        self._execution_context: tensorrt.IExecutionContext | None = None
        self._inputs: list[str] = []
        self._outputs: list[str] = []

    @property
    def name(self) -> str:
        """``"tensorrt 10.3.0 NVIDIA Orin"``."""
        return f"tensorrt {self._trt.__version__} {torch.cuda.get_device_name()}"

    def infer(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        """The logits for a batch within the engine's shape range.

        Raises:
            StageError: The batch doesn't fit the shape range, or the engine failed.
        """
        assert self._engine is not None and self._execution_context is not None, (
            "EngineRunner.infer outside of its 'with' block"
        )
        held = []
        for name, array in zip(self._inputs, inputs, strict=True):
            tensor = torch.from_numpy(np.ascontiguousarray(array)).cuda()
            if not self._execution_context.set_input_shape(name, tuple(tensor.shape)):
                limits = self._engine.get_tensor_profile_shape(name, 0)
                message = f"{self._path}: input '{name}' of shape {tuple(tensor.shape)} is outside of {limits}"
                raise StageError(message, "a smaller batch, or a larger target.max_batch_size when exporting")
            self._execution_context.set_tensor_address(name, tensor.data_ptr())
            held.append(tensor)
        outputs = [self._allocate(name) for name in self._outputs]
        stream = torch.cuda.current_stream()
        if not self._execution_context.execute_async_v3(stream.cuda_stream):
            raise StageError(f"{self._path}: the engine failed", "build the engine again on this device")
        logits: npt.NDArray[np.float32] = outputs[0].float().cpu().numpy()
        return logits

    def _allocate(self, name: str) -> torch.Tensor:
        assert self._engine is not None and self._execution_context is not None
        types = {
            self._trt.DataType.FLOAT: torch.float32,
            self._trt.DataType.HALF: torch.float16,
            self._trt.DataType.INT32: torch.int32,
            self._trt.DataType.INT64: torch.int64,
        }
        shape = tuple(self._execution_context.get_tensor_shape(name))
        tensor = torch.empty(shape, dtype=types[self._engine.get_tensor_dtype(name)], device="cuda")
        self._execution_context.set_tensor_address(name, tensor.data_ptr())
        return tensor

    def __enter__(self) -> Self:
        """Load the engine.

        Raises:
            ModelFileError: The file isn't there, or was built for another device or TensorRT.
        """
        if not self._path.is_file():
            raise ModelFileError(f"no engine at {self._path}", "check the path")
        runtime = self._trt.Runtime(self._trt.Logger(self._trt.Logger.ERROR))
        engine: tensorrt.ICudaEngine | None = runtime.deserialize_cuda_engine(self._path.read_bytes())
        if engine is None:
            message = f"{self.name} can't load {self._path}: engines run on the device and version they were built for"
            raise ModelFileError(message, "build it here with the kit's build_engine.py")
        names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
        modes = {name: engine.get_tensor_mode(name) for name in names}
        self._inputs = [name for name in names if modes[name] == self._trt.TensorIOMode.INPUT]
        self._outputs = [name for name in names if modes[name] == self._trt.TensorIOMode.OUTPUT]
        self._engine, self._execution_context = engine, engine.create_execution_context()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the engine."""
        self._execution_context = None
        self._engine = None
