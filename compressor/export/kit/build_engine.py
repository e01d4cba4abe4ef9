#!/usr/bin/env python3
"""Build a TensorRT engine from the model.onnx beside this script, on the device, and time it there.

    python3 build_engine.py                        writes model.engine and model.json
    python3 build_engine.py --batch 4 --max-batch 16

Needs tensorrt 10 or 11 (part of JetPack) and numpy. An engine only runs on the kind of device and the
TensorRT version it was built with; build it where it will run.
"""

import argparse
import ctypes
import ctypes.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
WARM_UP = 50
RUNS = 500
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
SHORTEST = 2


class KitError(Exception):
    """Something that the user can act on; printed as one message."""


def main() -> int:
    """Build, time, print and write what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "model.onnx")
    parser.add_argument("--engine", type=Path, default=HERE / "model.engine")
    parser.add_argument(
        "--batch", type=int, default=1, help="samples per call: the engine is best at it, and timed at it"
    )
    parser.add_argument("--max-batch", type=int, default=8, help="largest batch that the engine takes")
    parser.add_argument("--length", type=int, default=32, help="of texts: tokens per call, as for --batch")
    parser.add_argument("--max-length", type=int, default=512, help="of texts: most tokens that the engine takes")
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    try:
        trt = import_tensorrt()
        if not given.model.is_file():
            raise KitError(f"no model at {given.model}; give --model")
        print(f"TensorRT {trt.__version__} builds {given.model}; this can take minutes")
        lengths = (SHORTEST, given.length, max(given.length, given.max_length))
        engine = build(trt, given.model, given.batch, max(given.batch, given.max_batch), lengths)
        given.engine.write_bytes(engine)
        milliseconds = measure(trt, engine, given.batch, given.runs, given.length)
    except KitError as error:
        print(f"build_engine.py: {error}", file=sys.stderr)
        return 4
    summary = summarise(milliseconds, trt.__version__, given.batch, len(engine))
    given.engine.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    print(
        f"p50 {summary['p50']:.3f} ms, p90 {summary['p90']:.3f} ms, p99 {summary['p99']:.3f} ms at batch {given.batch}"
    )
    print(f"wrote {given.engine} ({len(engine) / 1e6:.2f} MB) and {given.engine.with_suffix('.json')}")
    return 0


def import_tensorrt() -> Any:
    """TensorRT, or a clear word that it isn't here."""
    try:
        import tensorrt
    except ImportError as error:
        raise KitError(
            f"TensorRT's Python package can't be imported ({error}).\n"
            "  On a Jetson it comes with JetPack: sudo apt install python3-libnvinfer, and use the system's python3.\n"
            "  On a server: pip install tensorrt. Or use the trtexec line in TENSORRT.md."
        ) from None
    return tensorrt


def build(
    trt: Any,
    path: Path,
    batch: int,
    max_batch: int,
    lengths: tuple[int, int, int] = (SHORTEST, 32, 512),
    configure: Callable[[Any], None] | None = None,
) -> bytes:
    """The serialized engine, for batches of 1 to ``max_batch`` and texts of these lengths; types are the file's."""
    logger = log_of(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        errors = [parser.get_error(place) for place in range(parser.num_errors)]
        raise KitError("the parser refuses it:\n" + "\n".join(f"  '{e.node_name()}': {e.desc()}" for e in errors))
    config = builder.create_builder_config()
    if configure is not None:
        configure(config)
    shapes = builder.create_optimization_profile()
    for place in range(network.num_inputs):
        tensor = network.get_input(place)
        sample = tuple(tensor.shape)[1:]
        ends = zip((1, batch, max_batch), lengths, strict=True)
        shapes.set_shape(tensor.name, *((count, *sized(sample, length)) for count, length in ends))
    config.add_optimization_profile(shapes)
    engine = builder.build_serialized_network(network, config)
    logger.say_repeated()
    if engine is None:
        raise KitError("TensorRT gave no engine; the reason is in the lines above")
    return bytes(engine)


def log_of(trt: Any) -> Any:
    """A logger that prints each warning once, and in the end how often it came.

    TensorRT says of every convolution that its scales, which are half precision as the graph is, become float32
    in the kernel: that is how it should be, and hundreds of lines in which a warning of another kind is lost.
    """
    base: Any = trt.ILogger

    class OnceLog(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.counts: dict[str, int] = {}

        def log(self, severity: Any, message: str) -> None:
            if severity not in (base.INTERNAL_ERROR, base.ERROR, base.WARNING):
                return
            self.counts[message] = self.counts.get(message, 0) + 1
            if self.counts[message] == 1:
                print(f"[TensorRT] {message.strip()}", file=sys.stderr)

        def say_repeated(self) -> None:
            for message, count in self.counts.items():
                if count > 1:
                    print(f"[TensorRT] {count} times: {message.strip()}", file=sys.stderr)

    return OnceLog()


def sized(sample: tuple[int, ...], length: int) -> tuple[int, ...]:
    """A sample's shape with this length where the file leaves it open."""
    return tuple(size if size >= 0 else length for size in sample)


def measure(trt: Any, engine_bytes: bytes, batch: int, runs: int, length: int) -> np.ndarray:
    """Milliseconds of each call, with the copies to and from the device."""
    cuda = Cuda()
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(engine_bytes)
    if engine is None:
        raise KitError("the engine was built but can't be loaded on this device")
    execution_context = engine.create_execution_context()
    names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    outputs = [name for name in names if name not in inputs]
    rng = np.random.default_rng(0)
    for name in inputs:
        execution_context.set_input_shape(name, (batch, *sized(tuple(engine.get_tensor_shape(name))[1:], length)))
    held = {}
    for name in names:
        shape = tuple(execution_context.get_tensor_shape(name))
        kind = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
        # Token ids and masks must be in range: ones are.
        array = np.ones(shape, kind) if kind.kind in "iu" else rng.standard_normal(shape).astype(kind)
        pointer = cuda.allocate(array.nbytes)
        execution_context.set_tensor_address(name, pointer)
        held[name] = (array, pointer)
    stream = cuda.stream()
    times = []
    for _ in range(WARM_UP + runs):
        start = time.perf_counter()
        for name in inputs:
            cuda.copy(held[name][1], held[name][0].ctypes.data, held[name][0].nbytes, HOST_TO_DEVICE, stream)
        execution_context.execute_async_v3(stream)
        for name in outputs:
            cuda.copy(held[name][0].ctypes.data, held[name][1], held[name][0].nbytes, DEVICE_TO_HOST, stream)
        cuda.wait(stream)
        times.append((time.perf_counter() - start) * 1000)
    return np.array(times[WARM_UP:])


def summarise(milliseconds: np.ndarray, version: str, batch: int, size: int) -> dict[str, Any]:
    """What goes into the JSON file."""
    p50, p90, p99 = (float(value) for value in np.percentile(milliseconds, [50, 90, 99]))
    return {
        "runtime": f"tensorrt {version}",
        "batch": batch,
        "runs": len(milliseconds),
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "size_bytes": size,
    }


class Cuda:
    """The few calls of the CUDA runtime that timing needs, without a Python package for them."""

    def __init__(self) -> None:
        self.library = self._load()
        count = ctypes.c_int()
        status = self.library.cudaGetDeviceCount(ctypes.byref(count))
        if status != 0 or count.value == 0:
            raise KitError(f"no CUDA device: {self._text(status)}; see nvidia-smi, or tegrastats on a Jetson")

    @staticmethod
    def _load() -> Any:
        found = ctypes.util.find_library("cudart")
        tried = [found] if found else []
        tried += ["libcudart.so", "libcudart.so.13", "libcudart.so.12", "/usr/local/cuda/lib64/libcudart.so"]
        for name in tried:
            try:
                library = ctypes.CDLL(name)
            except OSError:
                continue
            library.cudaGetErrorString.restype = ctypes.c_char_p
            return library
        raise KitError(f"the CUDA runtime isn't found (tried {', '.join(tried)}); add its folder to LD_LIBRARY_PATH")

    def _text(self, status: int) -> str:
        return str(self.library.cudaGetErrorString(status).decode())

    def _check(self, status: int) -> None:
        if status != 0:
            raise KitError(f"CUDA: {self._text(status)}")

    def allocate(self, size: int) -> int:
        """Device memory, freed when the process ends."""
        pointer = ctypes.c_void_p()
        self._check(self.library.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)))
        return int(pointer.value or 0)

    def stream(self) -> int:
        """A new stream."""
        stream = ctypes.c_void_p()
        self._check(self.library.cudaStreamCreate(ctypes.byref(stream)))
        return int(stream.value or 0)

    def copy(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        """Copy between host and device, in the stream's order."""
        arguments = (ctypes.c_void_p(to), ctypes.c_void_p(source), ctypes.c_size_t(size), kind, ctypes.c_void_p(stream))
        self._check(self.library.cudaMemcpyAsync(*arguments))

    def wait(self, stream: int) -> None:
        """Until the stream is done."""
        self._check(self.library.cudaStreamSynchronize(ctypes.c_void_p(stream)))


if __name__ == "__main__":
    sys.exit(main())
