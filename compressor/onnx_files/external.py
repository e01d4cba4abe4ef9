"""Weights that an ONNX graph keeps in other files."""

from pathlib import Path

import onnx

from compressor.errors import ModelFileError


def read_graph(path: Path) -> onnx.ModelProto:
    """A file from outside without its weights in other files, which must lie beside it.

    Called once, where such a file is first opened: parsing one takes as long as its weights are large.

    Raises:
        ModelFileError: Not a graph, or such a file is missing, elsewhere, or a link, which the onnx package refuses.
    """
    try:
        proto = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise ModelFileError(f"{path} is not an ONNX file: {error}", "export it again") from None
    stored = [tensor for tensor in proto.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    for place in dict.fromkeys(entry.value for one in stored for entry in one.external_data if entry.key == "location"):
        data = path.parent / place
        if Path(place).is_absolute() or ".." in Path(place).parts:
            raise ModelFileError(f"{path}: its weights are in {place!r}, outside its folder", "export it again")
        if data.is_symlink():
            raise ModelFileError(
                f"{path}: its weights are in {place!r}, which is a symbolic link", "cp -L the folder, and give the copy"
            )
        if not data.is_file():
            raise ModelFileError(
                f"{path}: its weights are in {place!r}, which isn't there", "copy it from beside the original file"
            )
    return proto
