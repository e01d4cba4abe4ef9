"""What makes a folder of transformers one that sentence-transformers opens."""

import json
from pathlib import Path

from compressor.factories.sentence_network import POOLING
from compressor.models import ModelInfo
from compressor.writing import write_atomically

MODULES, SETTINGS, POOLING_FOLDER = "modules.json", "sentence_bert_config.json", "1_Pooling"
# What the library calls each pooling.
POOLINGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}


def write_sentence_files(info: ModelInfo, width: int, folder: Path) -> None:
    """Write what the library reads beside ``config.json``: its chain of modules, its pooling, and where texts are cut.

    Args:
        info: Gives the pooling and the tokenizer.
        width: Numbers in a vector.
        folder: Made if it isn't there.
    """
    assert info.factory is not None and info.tokenizer is not None
    chosen = info.factory.arguments["config"].get(POOLING, "mean")
    kinds = {"": "Transformer", POOLING_FOLDER: "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(kinds.items())
    ]
    pooling = {"word_embedding_dimension": width, **{key: name == chosen for name, key in POOLINGS.items()}}
    written = {
        MODULES: modules,
        SETTINGS: {"max_seq_length": info.tokenizer.max_length, "do_lower_case": False},
        f"{POOLING_FOLDER}/config.json": pooling,
    }
    for name, values in written.items():
        write_atomically(folder / name, json.dumps(values, indent=1).encode())
