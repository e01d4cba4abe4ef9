"""Whether an exported text network opens as any user would open it, and answers as its report says.

    python3 -m venv other && other/bin/pip install torch 'optimum-onnx[onnxruntime]==0.1.0'
    other/bin/python tools/check_folder.py runs/my-run/05-export reviews/test.jsonl

Needs optimum-onnx, which pins an older transformers than this project uses: an environment of its own. Reads
columns ``text`` and ``label``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def accuracy(model: Any, tokenizer: Any, rows: list[dict[str, str]]) -> float:
    """Share of texts whose top class is the label, by the names in the model's own configuration."""
    right = 0
    for row in rows:
        inputs = tokenizer(row["text"], truncation=True, return_tensors="pt")
        with torch.no_grad():
            best = int(model(**inputs).logits.argmax())
        right += model.config.id2label[best] == row["label"]
    return right / len(rows)


def main() -> None:
    """Print what each library makes of the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("texts", type=Path)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.texts.read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(arguments.folder)
    model = ORTModelForSequenceClassification.from_pretrained(arguments.folder)
    print(f"optimum's ORTModel: {accuracy(model, tokenizer, rows):.4f} on {len(rows)} texts")
    report = arguments.folder.parent / "report.json"
    if report.is_file():
        print(f"the report: {json.loads(report.read_text())['stages'][-1]['score']:.4f}")
    try:
        whole = AutoModelForSequenceClassification.from_pretrained(arguments.folder / "transformers").eval()
    except (RuntimeError, ValueError) as error:
        print(f"transformers can't open the weights: {str(error).strip().splitlines()[0]}")
    else:
        print(f"transformers, in float32: {accuracy(whole, tokenizer, rows):.4f}")


if __name__ == "__main__":
    main()
