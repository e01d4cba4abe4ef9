"""Configurations that no weights fit are refused before anything of their sizes is made."""

import json
import time
from pathlib import Path
from typing import Any

import encoders
import pytest

from compressor.errors import CompressError, ModelFileError
from compressor.loading import load_file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    encoders.encoder_folder(folder)
    return folder


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"num_hidden_layers": 10**9}),
        ("config.json", {"num_hidden_layers": -1}),
        ("config.json", {"hidden_size": 10**9}),
        ("config.json", {"vocab_size": 2**62}),
        ("config.json", {"vocab_size": "many"}),
        ("config.json", {"hidden_size": 0}),
        ("config.json", {"hidden_size": 33}),
        ("config.json", {"num_attention_heads": 0}),
        ("config.json", {"type_vocab_size": 300}),
        ("config.json", {"id2label": {"0": "a", "2": "b"}}),
        ("config.json", {"id2label": [1]}),
        ("config.json", {"architectures": 3}),
        ("config.json", {"max_position_embeddings": 0}),
        ("config.json", {"max_position_embeddings": [1]}),
        ("tokenizer_config.json", {"model_max_length": 0}),
        ("tokenizer_config.json", {"model_max_length": 1}),
        ("tokenizer_config.json", {"model_max_length": "long"}),
        ("model.safetensors.index.json", {"weight_map": {"x": "../../etc/passwd"}}),
        ("model.safetensors.index.json", {"weight_map": [1]}),
    ],
)
def test_what_no_weights_fit_is_refused(file: str, changes: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    given = tmp_path / file
    given.write_text(json.dumps({**(json.loads(given.read_text()) if given.exists() else {}), **changes}))
    start = time.process_time()
    with pytest.raises(CompressError) as raised:
        load_file(tmp_path)
    assert isinstance(raised.value, ModelFileError) and str(tmp_path) in raised.value.message
    assert time.process_time() - start < 5


@pytest.mark.parametrize(("largest", "words"), [(2**32 - 1, "got the id 4294967295"), (5000, "rows for tokens")])
def test_ids_beyond_the_table_are_refused(largest: int, words: str, whole: Path, tmp_path: Path) -> None:
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    vocab[next(word for word in vocab if word.isalpha() and len(word) > 3)] = largest
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    start = time.process_time()
    with pytest.raises(ModelFileError, match=words):
        load_file(tmp_path)
    assert time.process_time() - start < 5
