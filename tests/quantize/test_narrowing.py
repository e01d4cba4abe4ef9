"""What 4 bits cost a layer, against a network that was quantized so from the start."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch

from compressor.context import RunContext
from compressor.digests import module_digest
from compressor.errors import PlanError
from compressor.models import QuantizedModel, TorchModel
from compressor.quantize.narrowing import narrowed_layers
from compressor.quantize.stage import Quantize
from compressor.target import Target

SAMPLES = 64


@pytest.fixture
def ctx(tmp_path: Path) -> RunContext:
    return small.small_context(tmp_path, Target(runtime="onnxruntime", opset=21))


def quantized(ctx: RunContext, **settings: object) -> QuantizedModel:
    stage = Quantize.model_validate({"qat": False, "measure": False, "weight_bits": 8, **settings})
    form = stage.run(small.small_model(), replace(ctx, workdir=ctx.workdir / str(len(settings)))).model
    assert isinstance(form, QuantizedModel)
    return form


def answers(form: QuantizedModel | TorchModel, ctx: RunContext) -> np.ndarray:
    batch = ctx.data.batch("validation", torch.arange(SAMPLES))
    with torch.no_grad():
        return np.asarray(ctx.task.forward(form.module.eval(), batch).numpy())


def test_each_layer_costs_what_it_does_alone(ctx: RunContext) -> None:
    form = quantized(ctx)
    before = module_digest(form.module)
    found = narrowed_layers(form, ctx, SAMPLES)
    assert module_digest(form.module) == before
    eight = answers(form, ctx)
    for one in (found[0], found[-1]):
        four = answers(quantized(ctx, four_bits=(one.layer,)), ctx)
        assert one.error == pytest.approx(float(((four - eight) ** 2).mean()) / float(eight.var()), rel=1e-3)
    ranks = [one.error / one.saved_bytes for one in found]
    assert ranks == sorted(ranks)
    weights = {f"{name}": module.weight.numel() for name, module in small.small_model().module.named_modules()
               if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))}  # fmt: skip
    assert {one.layer: one.saved_bytes for one in found} == {name: count // 2 for name, count in weights.items()}


def test_only_the_layers_that_are_named_have_four_bits(ctx: RunContext) -> None:
    form = quantized(ctx, four_bits=("stages.*",))
    bits = {one.node: one.bits for one in form.spec.quantizers if one.role == "weight"}
    assert set(bits.values()) == {4, 8}
    assert not any("stages" in one.layer for one in narrowed_layers(form, ctx, SAMPLES))


def test_four_bits_need_an_opset_that_has_them(tmp_path: Path) -> None:
    ctx = small.small_context(tmp_path, Target(runtime="onnxruntime", opset=20))
    with pytest.raises(PlanError, match=r"quantize\.four_bits: tensors of 4 bits need opset 21"):
        quantized(ctx, four_bits=("fc",))
    with pytest.raises(PlanError, match=r"quantize\.four_bits: tensorrt multiplies no integers"):
        quantized(small.small_context(tmp_path, Target(runtime="tensorrt", opset=21)), four_bits=("fc",))
