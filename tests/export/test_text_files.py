"""What stands beside a text network's file: read by transformers and by ONNX Runtime, and honest where it isn't."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import small_texts
import torch
from torch import nn

from compressor.export.text_files import float_module, write_text_files
from compressor.loading import load_file
from compressor.models import OnnxModel, QuantizedModel, TorchModel
from compressor.prune.configuration import narrowed
from compressor.prune.transformers import prune_blocks
from compressor.prune.vocabulary_stage import Vocabulary


def beside(model: TorchModel | QuantizedModel, exported: OnnxModel, folder: Path) -> OnnxModel:
    """The file in a folder of its own."""
    (folder / "model.onnx").write_bytes(exported.path.read_bytes())
    return OnnxModel(folder / "model.onnx", model.info, exported.precision)


def test_the_float_weights_are_the_graph_s(int8_encoder: QuantizedModel) -> None:
    import copy

    graph = copy.deepcopy(int8_encoder.module)
    for quantizer in int8_encoder.spec.quantizers:
        graph.set_submodule(quantizer.name, nn.Identity())
    inputs = small_texts.inputs_of(small_texts.encoder())
    with torch.no_grad():
        torch.testing.assert_close(float_module(int8_encoder)(*inputs), graph(*inputs), rtol=1e-4, atol=1e-5)
    model = small_texts.encoder()
    assert float_module(model) is model.module


def test_the_folder_is_read_by_others(
    int8_encoder: QuantizedModel, int8_encoder_onnx: OnnxModel, tmp_path: Path
) -> None:
    import transformers

    exported = beside(int8_encoder, int8_encoder_onnx, tmp_path)
    assert write_text_files(int8_encoder, exported) == []
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.onnx",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "usage.md",
        "transformers",
    }
    usage = (tmp_path / "usage.md").read_text()
    for words in ("ORTModelForSequenceClassification.from_pretrained", "Classes: bad, good.", "cut at 64 tokens"):
        assert words in usage
    assert "opens it" in usage
    # As a user of ONNX Runtime does: the folder's tokenizer and configuration, the file's input names.
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    session = onnxruntime.InferenceSession(exported.path)
    batch = tokenizer(["a wonderful film", "what a dull story"], padding=True, return_tensors="np")
    logits = session.run(None, {given.name: batch[given.name].astype(np.int64) for given in session.get_inputs()})[0]
    assert logits.shape == (2, config.num_labels)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "transformers").eval()
    tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
    with torch.no_grad():
        wanted = float_module(int8_encoder)(*(tensors[given.name] for given in session.get_inputs()))
        torch.testing.assert_close(theirs(**tensors).logits, wanted, rtol=1e-4, atol=1e-5)
    back = load_file(tmp_path / "transformers")
    assert isinstance(back, TorchModel) and back.info.classes == ("bad", "good")


@pytest.mark.parametrize("heads", [0.0, 0.5])
def test_what_transformers_cannot_build_is_said(heads: float, int8_encoder_onnx: OnnxModel, tmp_path: Path) -> None:
    model = small_texts.encoder()
    prune_blocks(model.module, heads=heads, neurons=0.5)
    pruned = TorchModel(model.module, narrowed(model.info, model.module))
    notes = write_text_files(pruned, beside(pruned, int8_encoder_onnx, tmp_path))
    usage = (tmp_path / "usage.md").read_text()
    if heads:
        assert "transformers can't build the pruned network" in notes[0]
        assert "can't build this" in usage and "attention.self.query.weight" in usage
    else:
        assert notes == [] and "opens it" in usage


def test_a_table_of_two_factors_is_said(int8_encoder_onnx: OnnxModel, tmp_path: Path) -> None:
    model = small_texts.encoder()
    result = Vocabulary(rank=0.5).run(model, small_texts.text_context(tmp_path / "work", model))
    assert isinstance(result.model, TorchModel)
    (note,) = write_text_files(result.model, beside(result.model, int8_encoder_onnx, tmp_path))
    assert "its word vectors are a table of 16 columns and a linear layer" in note


@pytest.mark.parametrize("heads", [0.0, 0.5])
def test_the_usage_of_an_encoder_says_what_its_vectors_are(
    heads: float, int8_encoder_onnx: OnnxModel, tmp_path: Path
) -> None:
    model = small_texts.encoder(task="sentence-embedding")
    prune_blocks(model.module, heads=heads, neurons=0.5)
    pruned = TorchModel(model.module, narrowed(model.info, model.module))
    notes = write_text_files(pruned, beside(pruned, int8_encoder_onnx, tmp_path))
    usage = (tmp_path / "usage.md").read_text()
    for words in (
        "a vector of 32 numbers, `sentence_embedding`: the mean of its tokens' states",
        "ORTModelForCustomTasks.from_pretrained",
        "SentenceTransformer" if not heads else "can't build this",
    ):
        assert words in usage
    assert bool(notes) == bool(heads)
    back = load_file(tmp_path / "transformers")
    assert isinstance(back, TorchModel) and back.info.task == "sentence-embedding"
    inputs = small_texts.inputs_of(model)
    torch.testing.assert_close(small_texts.answers(back, inputs), small_texts.answers(pruned, inputs))
