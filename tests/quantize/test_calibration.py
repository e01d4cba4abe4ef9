"""Ranges are those of the float network, the same every time and on every rank."""

from pathlib import Path

import pytest
import torch
from torch import fx, multiprocessing, nn

from compressor.quantize import calibrate, capture, insert_quantizers, place
from compressor.quantize.fake_quant import ActivationQuantizer
from compressor.quantize.insertion import activation_quantizers
from compressor.quantize.observers import Calibration
from compressor.target import Target


def small_graph() -> fx.GraphModule:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    graph = capture(module, (torch.randn(2, 1, 8, 8),))
    return insert_quantizers(graph, place(graph, Target(runtime="onnxruntime")))


def batches(seed: int = 0, count: int = 3) -> list[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(16, 1, 8, 8, generator=generator),) for _ in range(count)]


def test_the_inputs_range_by_hand() -> None:
    graph = small_graph()
    calibrate(graph, [(torch.full((2, 1, 8, 8), -1.0),), (torch.full((2, 1, 8, 8), 4.1),)])
    first = next(iter(activation_quantizers(graph).values()))
    # Means of the extremes: low (-1 + 4.1) / 2 is above 0, so 0; high the same 1.55.
    assert float(first.scale) == pytest.approx(1.55 / 255, rel=1e-6)
    assert first.zero_point == 0


def test_ranges_are_of_the_float_network() -> None:
    graph = small_graph()
    last = graph.get_submodule("quantize_conv2d_1")
    assert isinstance(last, ActivationQuantizer)
    calibrate(graph, batches(count=1))
    for module in graph.modules():
        if hasattr(module, "enabled"):
            module.enabled = False
    outputs = graph(*batches(count=1)[0]).detach()
    assert float(last.scale) == pytest.approx(float((outputs.max() - outputs.min()) / 255), rel=1e-5)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_again_gives_equal_bits_and_leaves_the_mode(method: Calibration) -> None:
    first, second = small_graph().train(), small_graph().train()
    calibrate(first, batches(), method)
    calibrate(second, batches(5), method)
    calibrate(second, batches(), method)
    assert all(torch.equal(first.state_dict()[key], value) for key, value in second.state_dict().items())
    assert first.training
    assert all(module.training for module in first.modules())
    quantizers = activation_quantizers(first).values()
    assert all(quantizer.enabled and quantizer.observer is None for quantizer in quantizers)


def _rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    graph = small_graph()
    calibrate(graph, batches(seed=rank))
    torch.save(graph.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_ranks_agree_on_the_widest_range(tmp_path: Path) -> None:
    multiprocessing.start_processes(_rank, args=(str(tmp_path),), nprocs=2, start_method="fork")
    states = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
    alone = []
    for rank in (0, 1):
        graph = small_graph()
        calibrate(graph, batches(seed=rank))
        alone.append(graph.state_dict()["quantize_conv2d_1.scale"])
    assert states[0]["quantize_conv2d_1.scale"] >= max(alone)
