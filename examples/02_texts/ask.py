"""Use the exported folder in a program of one's own: onnxruntime, numpy and tokenizers, nothing else."""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def main() -> None:
    """Print each text's class and its probability."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the last stage's folder")
    parser.add_argument("texts", nargs="+")
    arguments = parser.parse_args()

    session = onnxruntime.InferenceSession(arguments.folder / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    config, settings = (
        json.loads((arguments.folder / name).read_text(encoding="utf-8"))
        for name in ("config.json", "tokenizer_config.json")
    )

    tokenizer.enable_truncation(settings["model_max_length"])
    tokenizer.enable_padding(pad_id=config["pad_token_id"])
    encoded = tokenizer.encode_batch(arguments.texts)
    columns = {
        "input_ids": [one.ids for one in encoded],
        "attention_mask": [one.attention_mask for one in encoded],
        "token_type_ids": [one.type_ids for one in encoded],
    }
    # Not every network takes the last of the three.
    names = [given.name for given in session.get_inputs()]
    logits = session.run(None, {name: np.array(columns[name], dtype=np.int64) for name in names})[0]

    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    for text, row in zip(arguments.texts, shares, strict=True):
        print(f"{config['id2label'][str(row.argmax())]} {row.max():.1%}  {text}")


if __name__ == "__main__":
    main()
