#!/usr/bin/env python3
"""Ask the model.onnx beside this script about texts; needs onnxruntime, numpy and tokenizers, nothing else.

    python3 infer.py "a text" "another"
    python3 infer.py --file texts.txt      one text a line
    python3 infer.py --pair "a question" "its answer"
    python3 infer.py "a text" --json
    python3 infer.py "words with spaces between"      where the answer is a tag for each word
    python3 infer.py --pair "a text" "another"      where the answer is a vector: how alike both are, -1 to 1

The tokenizer lies beside the model; what it answers, and the names of its classes, is read from the file's metadata.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

# Samples that are read, sorted by length and answered before the next ones are.
READ_TOGETHER = 4096


def main() -> int:
    """Read the arguments, print a line a text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("texts", nargs="*", help="texts to ask about")
    parser.add_argument("--file", type=Path, help="a file with one text a line")
    parser.add_argument("--pair", action="store_true", help="two texts are one sample")
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("model.onnx"))
    parser.add_argument("--top", type=int, default=1, help="how many classes to print for each text")
    parser.add_argument("--json", action="store_true", help="print one JSON object per text")
    parser.add_argument("--batch-size", type=int, default=32, help="texts a call, of about one length")
    given = parser.parse_args()
    try:
        texts = [*given.texts, *(given.file.read_text(encoding="utf-8").splitlines() if given.file else [])]
        if not texts:
            raise ValueError("no text: give some, or --file")
        if given.pair and len(texts) % 2:
            raise ValueError(f"--pair takes texts two by two, got {len(texts)}")
        if given.batch_size < 1:
            raise ValueError(f"--batch-size {given.batch_size}, wanted at least 1")
        if not given.model.is_file():
            raise FileNotFoundError(f"no model at {given.model}; give --model")
        network = Network(given.model, given.batch_size)
        if network.task == "sentence-embedding":
            vectors = [vector for _, vector in network.answers(texts)]
            print("\n".join(similarities(vectors, given.json) if given.pair else embeddings(vectors, given.json)))
            return 0
        if network.task == "token-classification":
            samples: list[Any] = [text.split() for text in texts]
        else:
            samples = list(zip(texts[::2], texts[1::2], strict=True)) if given.pair else texts
        for place, (encoded, found) in enumerate(network.answers(samples)):
            if network.task == "token-classification":
                print(tags(place, encoded, found, samples[place], network.classes, given.json))
            elif network.task == "text-regression":
                value = float(found[0])
                print(json.dumps({"text": place, "value": value}) if given.json else f"{place}: {value:.4f}")
            else:
                print(line(place, probabilities(found), network.classes, given.top, given.json))
    except (OSError, ValueError) as error:
        print(f"infer.py: {error}", file=sys.stderr)
        return 2
    return 0


class Network:
    """The model, what its metadata says of it, and the tokenizer beside it.

    Args:
        path: The model's file.
        batch_size: Texts a call, at most.

    Raises:
        FileNotFoundError: There is no tokenizer beside it.
    """

    def __init__(self, path: Path, batch_size: int) -> None:
        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.task: str = metadata.get("compressor.task", "")
        self.classes: list[str] = json.loads(metadata.get("compressor.classes", "[]"))
        self._tokenizer = load_tokenizer(path.parent)
        self._pad_id = read_json(path.with_name("config.json")).get("pad_token_id") or 0
        # Where ranges are measured at every call, texts of one call would change each other's answers.
        self._batch_size = 1 if b"DynamicQuantizeLinear" in path.read_bytes() else batch_size

    def answers(self, samples: Sequence[Any]) -> Iterator[tuple[Encoding, np.ndarray]]:
        """Each sample's tokens and what the network gives for them, (classes,) or (tokens or more, classes).

        Args:
            samples: Texts, pairs of them, or lists of words; answered in batches of about one length, given in order.
        """
        for start in range(0, len(samples), READ_TOGETHER):
            some = samples[start : start + READ_TOGETHER]
            encoded = self._tokenizer.encode_batch(some, is_pretokenized=isinstance(some[0], list))
            order = sorted(range(len(encoded)), key=lambda place: len(encoded[place].ids))
            rows: dict[int, np.ndarray] = {}
            for first in range(0, len(order), self._batch_size):
                places = order[first : first + self._batch_size]
                rows.update(zip(places, self._ask([encoded[place] for place in places]), strict=True))
            yield from ((one, rows[place]) for place, one in enumerate(encoded))

    def _ask(self, batch: Sequence[Encoding]) -> np.ndarray:
        """What the network gives for a batch, shorter texts filled up to the longest."""
        shape = (len(batch), max(len(one.ids) for one in batch))
        values = {
            "input_ids": np.full(shape, self._pad_id, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        for row, one in enumerate(batch):
            count = len(one.ids)
            values["input_ids"][row, :count] = one.ids
            values["attention_mask"][row, :count] = 1
            values["token_type_ids"][row, :count] = one.type_ids
        feeds = {given.name: values[given.name] for given in self._session.get_inputs()}
        logits: np.ndarray = self._session.run(None, feeds)[0].astype(np.float64)
        return logits


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer beside the model, cutting texts at the network's longest."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"no tokenizer at {path}")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(read_json(folder / "tokenizer_config.json").get("model_max_length", 512))
    return tokenizer


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over classes."""
    powers = np.exp(logits - logits.max())
    shares: np.ndarray = powers / powers.sum()
    return shares


def tags(place: int, encoded: Encoding, rows: np.ndarray, words: list[str], classes: list[str], as_json: bool) -> str:
    """What is printed for one text whose words have a tag each; words beyond the longest text have none."""
    best = rows.argmax(axis=1)
    first = {word: token for token, word in reversed(list(enumerate(encoded.word_ids))) if word is not None}
    found = [(word, classes[best[first[number]]] if number in first else None) for number, word in enumerate(words)]
    if as_json:
        return json.dumps({"text": place, "tags": [{"word": word, "tag": tag} for word, tag in found]})
    return f"{place}: " + " ".join(f"{word}/{tag}" for word, tag in found)


def similarities(vectors: list[np.ndarray], as_json: bool) -> list[str]:
    """What is printed for texts two by two: how alike they are, the cosine between their vectors of length 1."""
    found = [float(first @ second) for first, second in zip(vectors[::2], vectors[1::2], strict=True)]
    if as_json:
        return [json.dumps({"pair": place, "similarity": value}) for place, value in enumerate(found)]
    return [f"{place}: {value:.4f}" for place, value in enumerate(found)]


def embeddings(vectors: list[np.ndarray], as_json: bool, shown: int = 4) -> list[str]:
    """What is printed for texts one by one: each one's vector, its beginning where a person reads it, and its like."""
    lines = []
    for place, vector in enumerate(vectors):
        alike = [float(vector @ other) for other in vectors]
        if as_json:
            lines.append(json.dumps({"text": place, "embedding": vector.tolist(), "similarities": alike}))
            continue
        start = ", ".join(f"{value:.4f}" for value in vector[:shown])
        others = "".join(f", to {other}: {value:.4f}" for other, value in enumerate(alike) if other != place)
        lines.append(f"{place}: [{start}, ...] of {len(vector)} numbers{'; similarity' + others[1:] if others else ''}")
    return lines


def line(place: int, row: np.ndarray, classes: list[str], top: int, as_json: bool) -> str:
    """What is printed for one text."""
    best = np.argsort(-row, kind="stable")[:top]
    names = [classes[label] if label < len(classes) else str(label) for label in best]
    if as_json:
        found = [{"class": n, "label": int(b), "probability": float(row[b])} for n, b in zip(names, best, strict=True)]
        return json.dumps({"text": place, "classes": found})
    return f"{place}: " + ", ".join(f"{name} {row[label]:.1%}" for name, label in zip(names, best, strict=True))


if __name__ == "__main__":
    sys.exit(main())
