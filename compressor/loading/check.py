"""A few inputs with the outputs they had when a network was saved; reloading runs them again."""

import platform
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from compressor.errors import ModelFileError

SAMPLES = 16
TOLERANCE = 1e-4
# With other instructions a value now and then rounds to the next step, and an untrained network amplifies that:
# single outputs of a pruned MobileNetV2 moved by 18 % and the mean over all of them by 2 %, where the float
# network moved by 6e-6. So the mean is judged; a network that was rebuilt wrongly is off by its whole size.
ROUNDED_TOLERANCE = 0.1


def make_check(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Inputs and outputs to keep, and where they were computed.

    Args:
        module: On the CPU, in eval mode, contiguous.
        example_inputs: The first 16 samples are taken.
    """
    # Not .contiguous(): images of one channel pass for contiguous with channels_last strides.
    inputs = tuple(t[:SAMPLES].detach().cpu().clone(memory_format=torch.contiguous_format) for t in example_inputs)
    check = {f"input_{place}": tensor for place, tensor in enumerate(inputs)}
    return {**check, "output": _outputs(module, inputs)}, _environment()


def verify(
    module: nn.Module, check: Mapping[str, Tensor], environment: Mapping[str, str], folder: Path, rounds: bool = False
) -> None:
    """Run the check: equal to the bit on the same torch and machine, else nearly, with a warning.

    Args:
        module: Reloaded, on the CPU, in eval mode.
        check: What ``make_check`` gave.
        environment: Where it was computed.
        folder: For the message.
        rounds: Whether the network rounds its activations.

    Raises:
        ModelFileError: The outputs differ.
    """
    inputs = tuple(check[key] for key in sorted(key for key in check if key.startswith("input_")))
    if "output" not in check or not inputs:
        raise ModelFileError(f"{folder}: the check has no inputs or no output", "copy the folder again")
    saved, found = check["output"], _outputs(module, inputs)
    if torch.equal(found, saved):
        return
    here = _environment()
    distance = _distance(found, saved, rounds)
    judged = "mean" if rounds else "largest"
    if dict(environment) == here or not distance <= (ROUNDED_TOLERANCE if rounds else TOLERANCE):
        raise ModelFileError(
            f"{folder}: the reloaded network answers otherwise than the saved one did "
            f"({judged} difference {distance:.1e} of the {judged} output)",
            "the factory and arguments that built it; or run again with --fresh",
        )
    there = ", ".join(f"{key} {value}" for key, value in environment.items() if here.get(key) != value)
    warnings.warn(f"{folder} was saved with {there}: outputs differ by {distance:.1e} here", stacklevel=3)


def _distance(found: Tensor, saved: Tensor, rounds: bool) -> float:
    if found.shape != saved.shape:
        return float("inf")
    difference, size = (found - saved).abs(), saved.abs()
    parts = (difference.mean(), size.mean()) if rounds else (difference.max(), size.max())
    return float(parts[0] / parts[1].clamp_min(1e-12))


def _outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            outputs: Tensor = module(*inputs)
    finally:
        torch.set_num_threads(threads)
    return outputs.float().contiguous().clone()


def _environment() -> dict[str, str]:
    return {
        "torch": str(torch.__version__),
        "machine": f"{platform.machine()} {_processor()} {torch.backends.cpu.get_cpu_capability()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
