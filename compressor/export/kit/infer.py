#!/usr/bin/env python3
"""Classify images or arrays with the model.onnx beside this script; needs onnxruntime and numpy, nothing else.

    python3 infer.py image.png            pictures need Pillow as well
    python3 infer.py images.npy           uint8 (N, H, W), (N, H, W, C) or (N, C, H, W)
    python3 infer.py images.npz --key x_test --json
    python3 infer.py signals.npy          of networks for other samples than images: (N, ...) as they were trained on

What the network expects of its input and the names of the classes are read from the file's metadata.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

ARRAYS = {".npy", ".npz"}


def main() -> int:
    """Read the arguments, print a line an image."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("inputs", type=Path, help="an image, or a .npy or .npz file of images")
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("model.onnx"))
    parser.add_argument("--key", help="which array of a .npz file; the first if not given")
    parser.add_argument("--top", type=int, default=1, help="how many classes to print for each image")
    parser.add_argument("--batch", type=int, default=64, help="images per call")
    parser.add_argument("--json", action="store_true", help="print one JSON object per image")
    given = parser.parse_args()
    try:
        session = load(given.model)
        contract, classes = describe(session)
        images = read_images(given.inputs, given.key, contract)
        for place, row in enumerate(probabilities(session, preprocess(images, contract), given.batch)):
            print(line(place, row, classes, given.top, given.json))
    except (OSError, ValueError) as error:
        print(f"infer.py: {error}", file=sys.stderr)
        return 2
    return 0


def load(path: Path) -> onnxruntime.InferenceSession:
    """Open the model on the CPU."""
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}; give --model")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    if session.get_modelmeta().custom_metadata_map.get("compressor.scheme") != "tensorrt":
        return session
    # A half-precision graph for TensorRT: ONNX Runtime's int8 rewriting rounds its biases past the largest half.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def describe(session: onnxruntime.InferenceSession) -> tuple[dict[str, Any], list[str]]:
    """The input contract and the class names, from the metadata."""
    metadata = session.get_modelmeta().custom_metadata_map
    inputs = json.loads(metadata.get("compressor.inputs", "[]"))
    if len(inputs) != 1:
        raise ValueError(f"this script feeds networks with one described input, the model has {len(inputs)}")
    return inputs[0], json.loads(metadata.get("compressor.classes", "[]"))


def read_images(path: Path, key: str | None, contract: dict[str, Any]) -> np.ndarray:
    """Samples as the network takes them, images as (N, C, H, W), in the type they were stored in."""
    if len(contract["shape"]) != 3:
        return read_others(path, key, tuple(contract["shape"]))
    channels, height, width = contract["shape"]
    if path.suffix not in ARRAYS:
        return read_picture(path, channels, height, width)
    images = read_array(path, key)
    stored = images.shape
    wanted = (channels, height, width)
    if images.shape in {wanted, (height, width), (height, width, channels)}:
        images = images[None]
    if images.ndim == 3 and channels == 1:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1:] != wanted and images.shape[-1] == channels:
        images = images.transpose(0, 3, 1, 2)
    if images.shape[1:] != wanted:
        raise ValueError(f"{path} holds {stored}, the network wants images of (channels, height, width) {wanted}")
    return images


def read_array(path: Path, key: str | None) -> np.ndarray:
    """An array of numbers as it was stored."""
    loaded = np.load(path, allow_pickle=False)
    if path.suffix == ".npz":
        if key is not None and key not in loaded:
            raise ValueError(f"{path} has no array '{key}', but: {', '.join(loaded.files)}")
        loaded = loaded[key or loaded.files[0]]
    return np.asarray(loaded)


def read_others(path: Path, key: str | None, wanted: tuple[int, ...]) -> np.ndarray:
    """Samples that are no images, (N, ...), or one of them; an axis of one channel may be left out."""
    if path.suffix not in ARRAYS:
        raise ValueError(f"{path}: wanted a .npy or .npz file of samples of shape {wanted}")
    samples = read_array(path, key)
    bare = wanted[1:] if wanted[0] == 1 else wanted
    if samples.shape in {wanted, bare}:
        samples = samples[None]
    if samples.shape[1:] == bare:
        samples = samples.reshape(len(samples), *wanted)
    if samples.shape[1:] != wanted:
        raise ValueError(f"{path} holds {samples.shape}, the network wants samples of {wanted}")
    return samples


def read_picture(path: Path, channels: int, height: int, width: int) -> np.ndarray:
    """One picture, in the network's colours and size."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ValueError(f"reading {path} needs Pillow: pip install pillow; or give a .npy file") from None
    with Image.open(path) as opened:
        picture = opened.convert("L" if channels == 1 else "RGB")
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, dtype=np.uint8)
    return pixels.reshape(1, height, width, channels).transpose(0, 3, 1, 2)


def preprocess(images: np.ndarray, contract: dict[str, Any]) -> np.ndarray:
    """uint8 pixels as the network was trained on them; floats are taken to be prepared already."""
    if images.dtype != np.uint8:
        return images.astype(contract["dtype"])
    if not contract["mean"]:
        return images.astype(contract["dtype"])
    mean = np.array(contract["mean"], dtype=np.float32).reshape(1, -1, 1, 1)
    std = np.array(contract["std"], dtype=np.float32).reshape(1, -1, 1, 1)
    return (images.astype(np.float32) / 255 - mean) / std


def probabilities(session: onnxruntime.InferenceSession, inputs: np.ndarray, batch: int) -> np.ndarray:
    """Softmax of the logits, (N, classes)."""
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: inputs[i : i + batch]})[0] for i in range(0, len(inputs), batch)]
    logits = np.concatenate(parts).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def line(place: int, row: np.ndarray, classes: list[str], top: int, as_json: bool) -> str:
    """What is printed for one image."""
    best = np.argsort(-row, kind="stable")[:top]
    names = [classes[label] if label < len(classes) else str(label) for label in best]
    if as_json:
        found = [{"class": n, "label": int(b), "probability": float(row[b])} for n, b in zip(names, best, strict=True)]
        return json.dumps({"image": place, "classes": found})
    return f"{place}: " + ", ".join(f"{name} {row[label]:.1%}" for name, label in zip(names, best, strict=True))


if __name__ == "__main__":
    sys.exit(main())
