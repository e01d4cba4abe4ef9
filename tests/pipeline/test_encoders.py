"""Encoders of every kind, and vision transformers, through all stages: smaller, reloaded, exported, agreeing."""

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path

import encoders
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from compressor.blocks import attentions
from compressor.context import RunContext, Teacher
from compressor.data import Data
from compressor.data.batches import TensorSplit
from compressor.data.load import load_data
from compressor.distill.stage import Distill
from compressor.errors import PlanError
from compressor.export.onnx import export_onnx
from compressor.export.stage import Export
from compressor.factories import build, parse_factory
from compressor.loading import load_file, load_form, save_form
from compressor.models import Form, InputSpec, ModelInfo, OnnxModel, TorchModel
from compressor.prune.stage import Prune
from compressor.prune.vocabulary_stage import Vocabulary
from compressor.quantize.stage import Quantize
from compressor.runners import OnnxRunner, arrays_of
from compressor.stage import Stage
from compressor.target import Target
from compressor.tasks import make_task
from compressor.training import TrainSettings

SHORT = TrainSettings(epochs=1, batch_size=16, lr=1e-3)
PRUNE = Prune(ratio=0.5, train=SHORT)
NARROW = Prune(ratio=0.5, width=0.25, train=SHORT)
VISION = {
    "vit": ("timm:vit_tiny_patch16_224", {"embed_dim": 64, "num_heads": 4}),
    "deit": ("timm:deit_tiny_patch16_224", {"embed_dim": 64, "num_heads": 4}),
    "swin": ("timm:swin_tiny_patch4_window7_224", {"embed_dim": 32, "num_heads": (2, 4), "window_size": 4}),
    "torchvision-vit": (
        "torchvision.models.vision_transformer:VisionTransformer",
        {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128},
    ),
}


# What DistilBERT's configuration calls its width.
WIDTHS = {"distilbert": "dim"}


# What is their own, names of layers, narrow tables of words, attention by places, is read and pruned in other tests.
SLOW = ("deberta-v2", "electra", "roberta")


@dataclass
class Chain:
    """A model on its way, each form saved and read back before the next stage has it."""

    form: Form
    ctx: RunContext
    folder: Path

    def __call__(self, stage: Stage) -> None:
        own = replace(self.ctx, workdir=self.folder / stage.kind)
        own = replace(own, data=own.data.seen_by(self.form.info.tokenizer))
        stage.rehearse(self.form, own)
        result = stage.run(self.form, own)
        data = own.data.seen_by(result.model.info.tokenizer)
        # Saving keeps some outputs, and reading compares them: to the bit on one machine.
        save_form(result.model, own.workdir, own.task.example_inputs(data, 16))
        self.form = load_form(own.workdir)

    def whole(self) -> int:
        """Bytes of the reference's file."""
        model = self.ctx.reference
        path = export_onnx(model, self.folder / "whole.onnx", self.ctx.task.example_inputs(self.ctx.data, 2)).path
        return path.stat().st_size


def agrees(chain: Chain, quantized: Form) -> None:
    """The file answers as the quantized graph does, for one sample and for several."""
    assert isinstance(chain.form, OnnxModel) and not isinstance(quantized, OnnxModel)
    data = chain.ctx.data.seen_by(chain.form.info.tokenizer)
    module = quantized.module.eval()
    with OnnxRunner(chain.form.path) as runner:
        for count in (1, 7):
            inputs = chain.ctx.task.call(data.batch("test", torch.arange(count)))
            with torch.no_grad():
                expected = module(*inputs).numpy()
            np.testing.assert_allclose(runner.infer(arrays_of(inputs)), expected, rtol=0, atol=0.1 * expected.std())


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else []) for kind in encoders.KINDS],
)
def test_text(kind: str, tmp_path: Path) -> None:
    model = load_file(encoders.encoder_folder(tmp_path / "model", kind))
    data = load_data(str(encoders.sentence_folder(tmp_path / "data", 64, 32)), classes=model.info.classes)
    through_all_stages(
        model, data, tmp_path, "text-classification", NARROW, Quantize(qat=kind == "bert", train=SHORT), rank=0.5
    )
    exported = tmp_path / "export"
    assert json.loads((exported / "config.json").read_text())[WIDTHS.get(kind, "hidden_size")] == 24
    # Three quarters of the width and half of the heads: more than the configuration can say.
    assert "`compressor.load_model(" in (exported / "usage.md").read_text()
    back = load_file(exported / "transformers")
    assert isinstance(back, TorchModel)
    assert {block.size for block in attentions(back.module)} == {8}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] if kind != "qwen2" else []) for kind in encoders.DECODERS],
)
def test_decoders_that_classify(kind: str, tmp_path: Path) -> None:
    model = load_file(encoders.encoder_folder(tmp_path / "model", kind))
    data = load_data(str(encoders.sentence_folder(tmp_path / "data", 64, 32)), classes=model.info.classes)
    through_all_stages(model, data, tmp_path, "text-classification", NARROW, Quantize(qat=False))
    config = json.loads((tmp_path / "export" / "config.json").read_text())
    assert (config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]) == (24, 2, 1)
    assert 'from_pretrained("this folder/transformers")` opens it' in (tmp_path / "export/usage.md").read_text()


def test_sentence_embeddings(tmp_path: Path) -> None:
    task = "sentence-embedding"
    model = load_file(encoders.encoder_folder(tmp_path / "model", "mpnet", task=task), task=task)
    columns = {"text": "one", "pair": "other", "target": "alike"}
    data = load_data(str(encoders.alike_folder(tmp_path / "data", 64, 32)), args=columns)
    through_all_stages(model, data, tmp_path, task, PRUNE, Quantize(train=SHORT))


@pytest.mark.slow
def test_weights_of_four_bits(tmp_path: Path) -> None:
    model = load_file(encoders.encoder_folder(tmp_path / "model", "mpnet"))
    data = load_data(str(encoders.sentence_folder(tmp_path / "data", 64, 32)), classes=model.info.classes)
    # As many bits as this CPU adds up rightly, and 4.
    folders = {bits: tmp_path / f"{bits}" for bits in ("auto", 4)}
    for bits, folder in folders.items():
        quantize = Quantize(qat=False, weight_bits=bits)
        through_all_stages(model, data, folder, "text-classification", PRUNE, quantize)
    wide, narrow = (onnx.load(folder / "export" / "model.onnx").graph for folder in folders.values())
    packed = {
        tensor.name.removesuffix("_int4") for tensor in narrow.initializer if tensor.data_type == TensorProto.INT4
    }
    # Tables of words and positions, too.
    assert packed == {t.name for t in wide.initializer if t.data_type == TensorProto.INT8 and len(t.dims) == 2}


def through_all_stages(
    model: Form, data: Data, folder: Path, task: str, prune: Prune, quantize: Quantize, rank: float | None = None
) -> None:
    assert isinstance(model, TorchModel)
    opset = 21 if quantize.weight_bits == 4 else 20
    chain = begun(model, data.seen_by(model.info.tokenizer), folder, task, opset)
    whole = chain.whole()
    for stage in (Distill(layers=2, train=SHORT), Vocabulary(rank=rank), prune, quantize):
        chain(stage)
    quantized = chain.form
    # Which of three graphs is fastest is the clock's choice; one is compared here.
    chain(Export(dynamic=False, prefer="size"))
    agrees(chain, quantized)
    assert isinstance(chain.form, OnnxModel)
    assert chain.form.path.stat().st_size < 0.4 * whole
    assert {"config.json", "tokenizer.json", "usage.md"} <= {path.name for path in chain.form.path.parent.iterdir()}


@pytest.mark.parametrize("kind", VISION)
def test_vision(kind: str, tmp_path: Path) -> None:
    model = vision(kind)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (48, 3, 32, 32), generator=generator, dtype=torch.uint8)
    split = TensorSplit(pixels, torch.arange(48) % 4)
    own = floats(split)
    data = Data("noise", own, own, own, tuple("abcd"), "0" * 64)
    chain = begun(model, data, tmp_path, "image-classification")
    whole = chain.whole()
    chain(NARROW if kind in ("vit", "deit") else PRUNE)
    assert isinstance(chain.form, TorchModel)
    chain(Quantize(qat=False))
    quantized = chain.form
    chain(Export(min_agreement=0.0, prefer="size"))
    agrees(chain, quantized)
    assert isinstance(chain.form, OnnxModel)
    assert chain.form.path.stat().st_size < 0.5 * whole


def test_layers_are_not_taken_out_of_vision_transformers(tmp_path: Path) -> None:
    model = vision("vit")
    split = floats(TensorSplit(torch.zeros(8, 3, 32, 32, dtype=torch.uint8), torch.arange(8) % 4))
    chain = begun(model, Data("noise", split, split, split, tuple("abcd"), "0" * 64), tmp_path, "image-classification")
    with pytest.raises(PlanError, match="Hugging Face folder"):
        Distill(layers=1).rehearse(model, chain.ctx)


def vision(kind: str) -> TorchModel:
    name, arguments = VISION[kind]
    more = {"num_classes": 4}
    if name.startswith("timm"):
        more |= {"img_size": 32}
        arguments = {**arguments, **({"depths": (2, 2)} if kind == "swin" else {"depth": 2, "patch_size": 8})}
    ref = parse_factory(name, {**arguments, **more})
    torch.manual_seed(0)
    module = build(ref).eval()
    info = ModelInfo(factory=ref, inputs=(InputSpec(shape=(3, 32, 32)),), classes=tuple("abcd"))
    return TorchModel(module, info)


def floats(split: TensorSplit) -> TensorSplit:
    return TensorSplit(split.inputs.float() / 128 - 1, split.labels)


def begun(model: TorchModel, data: Data, folder: Path, task: str, opset: int = 20) -> Chain:
    ctx = RunContext(
        task=make_task(task),
        data=data,
        target=Target(runtime="onnxruntime", opset=opset),
        reference=model,
        teachers=(Teacher(model),),
        workdir=folder,
    )
    own = TorchModel(copy.deepcopy(model.module), model.info)
    return Chain(own, ctx, folder)
