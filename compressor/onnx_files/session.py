"""Sessions of ONNX Runtime as a device would have them."""

from pathlib import Path

import onnxruntime

from compressor.errors import ModelFileError

PROVIDER = "CPUExecutionProvider"


def open_session(path: Path, threads: int = 1, optimized_path: Path | None = None) -> onnxruntime.InferenceSession:
    """Load and optimise a file's graph.

    Args:
        path: The file.
        threads: Threads inside one operator.
        optimized_path: Where ONNX Runtime writes the graph that it really runs, to be looked at. That graph is limited
            to the extended level, since later ones are bound to this CPU's memory layout.

    Raises:
        ModelFileError: The file isn't there, or isn't a graph that ONNX Runtime can load.
    """
    if not path.is_file():
        raise ModelFileError(f"no ONNX file at {path}", "check the path")

    def options() -> onnxruntime.SessionOptions:
        made = session_options(threads)
        if optimized_path is not None:
            made.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            made.optimized_model_filepath = str(optimized_path)
        return made

    try:
        session = onnxruntime.InferenceSession(str(path), options(), providers=[PROVIDER])
        if session.get_modelmeta().custom_metadata_map.get("compressor.scheme") == "tensorrt":
            # In half precision ONNX Runtime's int8 rewriting rounds biases past the largest half.
            floats = options()
            floats.add_session_config_entry("session.disable_quant_qdq", "1")
            session = onnxruntime.InferenceSession(str(path), floats, providers=[PROVIDER])
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        message = f"ONNX Runtime can't load {path}: {reason}"
        raise ModelFileError(message, "export it again, or check it with onnx.checker") from error
    return session


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How every session runs: all graph optimisations, one operator after the other."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # A session's idle threads would spin on and slow down whatever is measured next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return options
