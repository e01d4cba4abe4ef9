"""bf16 counts as native only where neither the CPU nor a variable that masks it says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from compressor.training.kernels import has_bf16_kernels

ASK = "from compressor.training.kernels import has_bf16_kernels; print(has_bf16_kernels('cpu'))"


def test_torch_held_to_avx2_has_none() -> None:
    masked = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2"}
    asked = subprocess.run([sys.executable, "-c", ASK], env=masked, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "False"


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="the variable is about x86")
@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_onednn_held_to_a_set_without_bf16(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    unmasked = has_bf16_kernels("cpu")
    for held_to in ("AVX2", "AVX512_CORE_VNNI"):
        monkeypatch.setenv(name, held_to)
        assert not has_bf16_kernels("cpu")
    monkeypatch.setenv(name, "AVX512_CORE_BF16")
    assert has_bf16_kernels("cpu") == unmasked


def test_a_device_that_nothing_is_known_of_has_none() -> None:
    assert not has_bf16_kernels("mps")
