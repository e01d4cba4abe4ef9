"""What sentence-transformers reads beside the weights, and that our own loader reads the same out of it."""

import json
from pathlib import Path

import encoders
import pytest
import torch

from compressor.export.huggingface import write_huggingface
from compressor.loading import load_file
from compressor.models import TorchModel


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_folder_for_sentence_transformers(pooling: str, tmp_path: Path) -> None:
    changes = {"sentence_pooling": pooling, "max_position_embeddings": 48}
    encoders.encoder_folder(tmp_path / "model", task="sentence-embedding", **changes)
    model = load_file(tmp_path / "model", task="sentence-embedding")
    assert isinstance(model, TorchModel)
    written = tmp_path / "written"
    assert write_huggingface(model.module, model.info, written)
    modules = json.loads((written / "modules.json").read_text())
    assert [(one["path"], one["type"].rpartition(".")[2]) for one in modules] == [
        ("", "Transformer"),
        ("1_Pooling", "Pooling"),
        ("2_Normalize", "Normalize"),
    ]
    assert json.loads((written / "1_Pooling" / "config.json").read_text()) == {
        "word_embedding_dimension": 32,
        "pooling_mode_mean_tokens": pooling == "mean",
        "pooling_mode_cls_token": pooling == "cls",
    }
    assert json.loads((written / "sentence_bert_config.json").read_text())["max_seq_length"] == 48
    back = load_file(written)
    assert isinstance(back, TorchModel) and back.info.task == "sentence-embedding"
    assert back.info.factory == model.info.factory
    ids = torch.tensor([[5, 9, 12, 0], [7, 11, 4, 8]])
    inputs = (ids, torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]), torch.zeros_like(ids))
    with torch.no_grad():
        assert torch.equal(back.module(*inputs), model.module(*inputs))


def test_other_networks_get_none_of_it(tmp_path: Path) -> None:
    model = load_file(encoders.encoder_folder(tmp_path / "model"))
    assert isinstance(model, TorchModel)
    write_huggingface(model.module, model.info, tmp_path / "written")
    assert not (tmp_path / "written" / "modules.json").exists()
