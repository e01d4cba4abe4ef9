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
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer


def main() -> int:
    """Read the arguments, print a line a text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("texts", nargs="*", help="texts to ask about")
    parser.add_argument("--file", type=Path, help="a file with one text a line")
    parser.add_argument("--pair", action="store_true", help="two texts are one sample")
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("model.onnx"))
    parser.add_argument("--top", type=int, default=1, help="how many classes to print for each text")
    parser.add_argument("--json", action="store_true", help="print one JSON object per text")
    given = parser.parse_args()
    try:
        texts = [*given.texts, *(given.file.read_text(encoding="utf-8").splitlines() if given.file else [])]
        if not texts:
            raise ValueError("no text: give some, or --file")
        if given.pair and len(texts) % 2:
            raise ValueError(f"--pair takes texts two by two, got {len(texts)}")
        samples = list(zip(texts[::2], texts[1::2], strict=True)) if given.pair else texts
        if not given.model.is_file():
            raise FileNotFoundError(f"no model at {given.model}; give --model")
        session = onnxruntime.InferenceSession(str(given.model), providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        classes = json.loads(metadata.get("compressor.classes", "[]"))
        tokenizer = load_tokenizer(given.model.parent)
        if metadata.get("compressor.task") == "sentence-embedding":
            vectors = [answer(session, tokenizer, text) for text in texts]
            print("\n".join(similarities(vectors, given.json) if given.pair else embeddings(vectors, given.json)))
            return 0
        for place, sample in enumerate(samples):
            if metadata.get("compressor.task") == "token-classification":
                print(tags(place, session, tokenizer, str(sample).split(), classes, given.json))
                continue
            found = answer(session, tokenizer, sample)
            if metadata.get("compressor.task") == "text-regression":
                value = float(found[0])
                print(json.dumps({"text": place, "value": value}) if given.json else f"{place}: {value:.4f}")
            else:
                print(line(place, probabilities(found), classes, given.top, given.json))
    except (OSError, ValueError) as error:
        print(f"infer.py: {error}", file=sys.stderr)
        return 2
    return 0


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer beside the model, cutting texts at the network's longest."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"no tokenizer at {path}")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    settings = folder / "tokenizer_config.json"
    longest = json.loads(settings.read_text(encoding="utf-8"))["model_max_length"] if settings.is_file() else 512
    tokenizer.enable_truncation(longest)
    return tokenizer


def answer(session: onnxruntime.InferenceSession, tokenizer: Tokenizer, sample: str | tuple[str, str]) -> np.ndarray:
    """What the network gives for one text, (classes,)."""
    return ask(session, tokenizer.encode(*sample) if isinstance(sample, tuple) else tokenizer.encode(sample))


def ask(session: onnxruntime.InferenceSession, encoded: Encoding) -> np.ndarray:
    """What the network gives for one text in tokens, (classes,) or (tokens, classes)."""
    values = {
        "input_ids": encoded.ids,
        "attention_mask": [1] * len(encoded.ids),
        "token_type_ids": encoded.type_ids,
    }
    feeds = {given.name: np.array([values[given.name]], dtype=np.int64) for given in session.get_inputs()}
    logits: np.ndarray = session.run(None, feeds)[0][0].astype(np.float64)
    return logits


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over classes."""
    powers = np.exp(logits - logits.max())
    shares: np.ndarray = powers / powers.sum()
    return shares


def tags(
    place: int,
    session: onnxruntime.InferenceSession,
    tokenizer: Tokenizer,
    words: list[str],
    classes: list[str],
    as_json: bool,
) -> str:
    """What is printed for one text whose words have a tag each; words beyond the longest text have none."""
    encoded = tokenizer.encode(words, is_pretokenized=True)
    best = ask(session, encoded).argmax(axis=1)
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
