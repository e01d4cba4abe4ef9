"""What a run ran on, for the report: versions, CPU features, threads, the checkout's commit."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "compressor",
    "torch",
    "onnx",
    "onnxruntime",
    "accelerate",
    "numpy",
    "torchvision",
    "timm",
    "transformers",
    "tokenizers",
)
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8", "asimddp", "i8mm")


def describe_environment(device: str) -> dict[str, Any]:
    """Versions, processor, threads and commit, as JSON values."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "cpu": _cpu(),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "threads": torch.get_num_threads(),
        "git": _commit(),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _cpu() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return {"model": platform.processor(), "features": []}
    lines = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
    facts = {key.strip().lower(): value.strip() for key, value in lines.items()}
    flags = (facts.get("flags") or facts.get("features") or "").split()
    return {"model": facts.get("model name", platform.processor()), "features": [f for f in CPU_FEATURES if f in flags]}


def _commit() -> str:
    """The commit of the checkout that this package is run from; empty for an installed one."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except OSError:
        return ""
    return result.stdout.strip()
