"""Bytes on disk."""

from pathlib import Path

import onnx
from onnx.external_data_helper import uses_external_data


def file_size(path: Path) -> int:
    """Bytes of a model file, or of every file in a folder.

    An ONNX file counts together with the external data files that it refers to, and with no others:
    a stale ``model.onnx.data`` beside it is not part of the model.
    """
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    size = path.stat().st_size
    if path.suffix == ".onnx":
        size += sum((path.parent / name).stat().st_size for name in _external_files(path))
    return size


def _external_files(path: Path) -> set[str]:
    graph = onnx.load(path, load_external_data=False).graph
    return {
        entry.value
        for tensor in graph.initializer
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
