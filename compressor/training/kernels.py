"""What this machine's kernels can do, as far as a training's choices depend on it."""

import os
import platform

import torch

# oneDNN's names, https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html: the instruction sets
# that compute in bf16, where a variable holds it to less than the CPU has.
BF16_SETS = ("BF16", "FP16", "AMX", "AVX10", "ALL", "DEFAULT")


def has_bf16_kernels(device: str) -> bool:
    """Whether a device computes in bf16 natively; elsewhere it is emulated, many times slower than fp32.

    Of a CPU torch and oneDNN are both asked, and both can be held to less than the CPU has
    (``ATEN_CPU_CAPABILITY``, ``ONEDNN_MAX_CPU_ISA``).
    """
    kind = device.partition(":")[0]
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu":
        return False
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        # On ARM oneDNN's answer is about the instructions; on x86 it is yes for an emulation too.
        return True
    held_to = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    if not any(name in held_to.upper() for name in BF16_SETS):
        return False
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001
