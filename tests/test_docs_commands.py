"""Every command of README and docs/ is run as a reader would type it, page by page, each in a folder of its own.

What is added to a line, to keep it short, and nothing else is changed: ``--quick`` for commands that train stages,
``--epochs 3`` for ``compress example``, ``--set train.epochs=1`` for ``compress train``. A command ends with 0, or as
the page says in a comment above its block; with ``--quick`` added to it also with 6, a missed goal. What the reader is
said to have (``model.pt``, ``reviews.jsonl``) is made beforehand, small but real. The examples' pages are run by
test_examples.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import digits
import encoders
import numpy as np
import pages
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

RUNNING = {"run", "plan", "search", "tune-kd"}
SHORTENED = {"example": "--epochs 3", "train": "--set train.epochs=1"} | dict.fromkeys(RUNNING, "--quick")
WRAPPER = f'#!/bin/sh\nexec "{sys.executable}" %s "$@"\n'


def with_commands() -> list[str]:
    listed = [page for page in pages.pages() if not page.startswith("examples/")]
    return [page for page in listed if any(block.runs for block in runnable(page))]


def runnable(page: str) -> list[pages.Block]:
    """The blocks of a page that are typed or pasted; the guide's and the log's Python is of another kind."""
    typed = pages.blocks(page, "sh")
    pasted = [] if page == "docs/writing_a_stage.md" else pages.blocks(page, "python")
    return [block for block in pages.blocks(page) if block in typed or block in pasted]


@pytest.mark.slow
@pytest.mark.parametrize("page", with_commands())
def test_runs_as_the_page_says(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run(page, tmp_path, lambda: request.getfixturevalue("digits_checkpoint"))


def run(page: str, folder: Path, checkpoint: Callable[[], Path]) -> None:
    """Type and paste what a page says, in order, in a folder with what its reader has."""
    write_programs(folder)
    blocks = runnable(page)
    prepare("\n".join(block.text for block in blocks), folder, checkpoint)
    pasted: dict[str, Any] = {"__name__": page}
    failed = []
    for block in blocks:
        if not block.runs:
            continue
        if block.language == "python":
            paste(block, folder, pasted)
            continue
        for line in block.commands:
            typed, codes = shortened(line, block.codes)
            result = subprocess.run(
                ["bash", "-c", typed], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
            )
            print(f"{page}: {typed}: {result.returncode}")
            if result.returncode not in codes:
                failed.append(f"{typed}\n  ended with {result.returncode}, not {codes}: {result.stderr[-1500:]}")
    assert not failed, "\n".join(failed)


def shortened(line: str, codes: set[int]) -> tuple[str, set[int]]:
    """A line with what makes it short, and the codes that it may end with."""
    found = pages.calls(line)
    name = found[0][0] if found and found[0] else ""
    if name not in SHORTENED or "--help" in line:
        return line, codes
    whole, _, comment = line.partition(" #")
    command, otherwise, rest = whole.partition(" ||")
    typed = f"{command.rstrip()} {SHORTENED[name]}{otherwise}{rest}"
    missed = {6} if name in RUNNING and 0 in codes else set()
    return typed + (f" #{comment}" if comment else ""), codes | missed


def write_programs(folder: Path) -> None:
    """``compress`` and ``python`` as they are called where this package is installed."""
    for place in (folder / "bin", folder / ".venv" / "bin"):
        place.mkdir(parents=True)
        for name, module in (("compress", "-m compressor"), ("python", ""), ("python3", "")):
            path = place / name
            path.write_text(WRAPPER % module)
            path.chmod(0o755)


def environment(folder: Path) -> dict[str, str]:
    paths = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(pages.ROOT), "OMP_NUM_THREADS": "1"}


def paste(block: pages.Block, folder: Path, names: dict[str, Any]) -> None:
    """Run Python as the reader's own program would, with what that has."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        for name, make in OWN.items():
            if re.search(rf"\b{name}\b", block.text):
                names[name] = make(folder, block.text)
        exec(compile(block.text, block.page, "exec"), names)
    finally:
        os.chdir(here)


# ---- what the reader has


def prepare(text: str, folder: Path, checkpoint: Callable[[], Path]) -> None:
    """Make what a page's commands read and don't make themselves."""
    for name, make in FILES.items():
        if re.search(rf"(?<![\w/.-]){re.escape(name)}(?![\w-])", text):
            make(folder / name)
    if "model.pt" in text and "save_checkpoint" not in text:
        shutil.copy(checkpoint(), folder / "model.pt")
    if re.search(r"\b(model|old)\.onnx", text) and "runs/" in text and "compress run" not in text:
        # A page about what was made before: a run, its last file, and one of before.
        shutil.copy(checkpoint(), folder / "mine.pt")
        command = (
            "compress run --profile mobile-cpu mine.pt --out runs/mine --without distill --set prune.ratio=0.5 --quick"
        )
        subprocess.run(["bash", "-c", f"{command} || test $? -eq 6"], cwd=folder, env=environment(folder), check=True)
        for name in ("model.onnx", "old.onnx"):
            shutil.copy(folder / "runs" / "mine" / "03-export" / "model.onnx", folder / name)


def images(folder: Path) -> None:
    """Digits of two dozen pixels as a folder of class folders, 20 a class to learn and 8 to test."""
    pixels, labels = load_digits(return_X_y=True)
    seen = [0] * 10
    for image, label in zip(pixels.reshape(-1, 8, 8), labels.tolist(), strict=True):
        split = "train" if seen[label] < 20 else "test"
        seen[label] += 1
        if seen[label] > 28:
            continue
        place = folder / split / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        grey = np.kron((image * 255 / 16).round().astype(np.uint8), np.ones((4, 4), dtype=np.uint8))
        Image.fromarray(grey).convert("RGB").save(place / f"{seen[label]}.png")


NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def photo(path: Path) -> None:
    Image.fromarray((load_digits().images[0] * 255 / 16).round().astype(np.uint8)).save(path)


def weights(path: Path) -> None:
    """A state_dict without anything beside it."""
    torch.save(resnet().state_dict(), path)


def pretrained(folder: Path) -> None:
    """An encoder of two narrow layers with the head of other classes than the reviews have."""
    encoders.encoder_folder(folder, labels=("yes", "no", "perhaps"), num_hidden_layers=2)


def reviews(path: Path) -> None:
    encoders.write_rows(path, encoders.sentences(160))


def minilm(folder: Path) -> None:
    encoders.encoder_folder(folder, task="sentence-embedding", num_hidden_layers=2)


def pairs(path: Path) -> None:
    rows = [{"first": row["one"], "second": row["other"], "score": row["alike"]} for row in encoders.alike(160)]
    encoders.write_rows(path, rows)


def texts(path: Path) -> None:
    path.write_text("".join(json.dumps({"first": row["text"]}) + "\n" for row in encoders.sentences(64, 5)))


def resnet() -> torch.nn.Module:
    import torchvision

    torch.manual_seed(0)
    network: torch.nn.Module = torchvision.models.resnet18(num_classes=10)
    return network


def own_module(_: Path, text: str) -> torch.nn.Module:
    return resnet() if "resnet18" in text else digits.trained_model(digits.digits_data()).module


def own_images(_: Path, __: str) -> torch.Tensor:
    images: torch.Tensor = digits.digits_data().batch("test", torch.arange(2)).inputs[0]
    return images


def last_file(folder: Path, _: str) -> str:
    # Before any run the word is one of a sentence.
    return str(next(folder.glob("runs/*/*-export/model.onnx"), ""))


FILES: dict[str, Callable[[Path], None]] = {
    "path/to/images": images,
    "weights.pt": weights,
    "photo.png": photo,
    "./my-pretrained": pretrained,
    "reviews.jsonl": reviews,
    "my-minilm": minilm,
    "pairs.jsonl": pairs,
    "texts.jsonl": texts,
}
# Names in the pages' Python that are the reader's.
OWN: dict[str, Callable[[Path, str], Any]] = {
    "module": own_module,
    "data": lambda *_: digits.digits_data(),
    "images": own_images,
    "path": last_file,
}


@pytest.mark.parametrize(
    ("line", "typed", "codes"),
    [
        ("compress run --profile p m.pt", "compress run --profile p m.pt --quick", {0, 6}),
        ("compress run m.pt   # why", "compress run m.pt --quick # why", {0, 6}),
        ("compress run m.pt || test $? -eq 6", "compress run m.pt --quick || test $? -eq 6", {0, 6}),
        (".venv/bin/compress example d.pt", ".venv/bin/compress example d.pt --epochs 3", {0}),
        ("compress profiles schema > p.json", "compress profiles schema > p.json", {0}),
        ("python infer.py photo.png", "python infer.py photo.png", {0}),
    ],
)
def test_only_trainings_are_made_shorter(line: str, typed: str, codes: set[int]) -> None:
    assert shortened(line, {0}) == (typed, codes)
