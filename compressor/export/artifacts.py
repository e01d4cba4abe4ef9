"""The files that stand beside an exported model: a script that runs it, and the kit that builds its engine."""

import stat
from importlib.resources import files
from pathlib import Path

import onnx

from compressor.export.tensorrt import shape_range_of
from compressor.models import OnnxModel
from compressor.target import Target
from compressor.tasks import modality_of
from compressor.writing import write_atomically

DEVICE_PAGE = """\
# Building the engine on the device

`{model}` is a strongly typed ONNX file: the engine's types are the file's, so no precision flags are needed.
An engine runs only on the kind of device and the TensorRT version that built it. On the device, in this folder:

    python3 build_engine.py --batch {batch} --max-batch {max_batch}{lengths}

It needs TensorRT 10 or 11 and numpy, writes `model.engine`, times it and writes `model.json`. The same with
TensorRT's own tool (`/usr/src/tensorrt/bin/trtexec` on a Jetson):

    {trtexec}
"""


def write_infer_script(model: OnnxModel) -> Path:
    """Put ``infer.py`` beside a model; it needs onnxruntime and numpy alone, for texts tokenizers too."""
    return _copy(modality_of(model.info.task).script, model.path.parent, "infer.py")


def write_device_kit(model: OnnxModel, target: Target) -> list[Path]:
    """Put what builds and times the engine on the device beside a model."""
    page = model.path.with_name("TENSORRT.md")
    largest = max(target.max_batch_size, target.batch_size)
    has_lengths = modality_of(model.info.task).longest(model.info) is not None
    text = DEVICE_PAGE.format(
        model=model.path.name,
        batch=target.batch_size,
        max_batch=largest,
        lengths=f" --length {target.length} --max-length {target.max_length}" if has_lengths else "",
        trtexec=trtexec_line(model, target),
    )
    write_atomically(page, text.encode())
    return [_copy("build_engine.py", model.path.parent), page]


def trtexec_line(model: OnnxModel, target: Target) -> str:
    """The command that builds the engine with NVIDIA's own tool."""
    graph = onnx.load(model.path, load_external_data=False).graph
    samples = {given.name: [axis.dim_value for axis in given.type.tensor_type.shape.dim][1:] for given in graph.input}
    ends = {name: shape_range_of(tuple(sample), target) for name, sample in samples.items()}
    ranges = " ".join(
        f"--{end}Shapes=" + ",".join(f"{name}:{'x'.join(map(str, sizes[place]))}" for name, sizes in ends.items())
        for place, end in enumerate(("min", "opt", "max"))
    )
    return f"trtexec --onnx={model.path.name} --stronglyTyped --saveEngine=model.engine {ranges}"


def _copy(name: str, folder: Path, new_name: str = "") -> Path:
    content = (files("compressor.export") / "kit" / name).read_bytes()
    path = folder / (new_name or name)
    write_atomically(path, content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path
