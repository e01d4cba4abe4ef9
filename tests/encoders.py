"""Encoders of every supported kind, tiny and random, as Hugging Face folders with tokenizers that know small talk."""

import collections
import itertools
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")

GOOD = ("wonderful", "brilliant", "moving", "funny", "clever", "charming", "superb", "delightful")
BAD = ("dull", "boring", "awful", "clumsy", "tedious", "shallow", "terrible", "lifeless")
THINGS = ("film", "story", "acting", "plot", "music", "ending", "script", "picture", "dialogue", "cast")
SHAPES = (
    "the {thing} is {first} and {second}",
    "a {first} , {second} {thing}",
    "what a {first} {thing} ; the rest is {second} too",
    "{first} from start to finish , with a {second} {thing}",
)
SPECIAL = {
    "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "roberta": ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
}
SIZES = {
    "vocab_size": 0,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
HEADS = {
    "text-classification": "AutoModelForSequenceClassification",
    "text-regression": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "sentence-embedding": "AutoModel",
}
TAGS = ("B-BAD", "B-GOOD", "I-BAD", "I-GOOD", "O")
# How each kind cuts words, and what else its configuration needs.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("WordPiece", {}),
    "distilbert": ("WordPiece", {"dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 64}),
    "roberta": ("BPE", {"max_position_embeddings": 66, "type_vocab_size": 1}),
    "electra": ("WordPiece", {"embedding_size": 16}),
    "mpnet": ("WordPiece", {"max_position_embeddings": 66}),
    "albert": ("Unigram", {"embedding_size": 16}),
    "deberta-v2": (
        "Unigram",
        {
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
}
# Decoders with the head of a classifier, whose query heads share key/value heads in pairs.
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    kind: ("BPE", {"num_key_value_heads": 2}) for kind in ("llama", "qwen2", "mistral")
}
ALL = KINDS | DECODERS


def sentences(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Praise and blame, half of each."""
    chance = torch.Generator().manual_seed(seed)

    def one_of(choices: tuple[str, ...]) -> str:
        return choices[int(torch.randint(len(choices), (1,), generator=chance))]

    rows = []
    for _, (label, words) in zip(range(count), itertools.cycle((("good", GOOD), ("bad", BAD))), strict=False):
        text = one_of(SHAPES).format(thing=one_of(THINGS), first=one_of(words), second=one_of(words))
        rows.append({"text": text, "label": label})
    return rows


def rated(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences with a number each: -1 for two words of blame, 1 for two of praise."""
    chance = torch.Generator().manual_seed(seed)

    def place(choices: int) -> int:
        return int(torch.randint(choices, (1,), generator=chance))

    rows = []
    for _ in range(count):
        both = [(GOOD, BAD)[place(2)] for _ in range(2)]
        words = [kind[place(len(kind))] for kind in both]
        text = SHAPES[place(len(SHAPES))].format(thing=THINGS[place(len(THINGS))], first=words[0], second=words[1])
        rows.append({"text": text, "rating": sum(0.5 if kind is GOOD else -0.5 for kind in both)})
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentence_folder(folder: Path, train: int = 192, test: int = 64) -> Path:
    """A folder of text data."""
    write_rows(folder / "train.jsonl", sentences(train, 1))
    write_rows(folder / "test.jsonl", sentences(test, 2))
    return folder


LETTERS = "abcdefghijklmnopqrstuvwxyz.,;!?'"


def word_pieces() -> list[str]:
    """Letters, endings and whole words; the library's own trainer gives other pieces at every call."""
    words = sorted({word for row in sentences(400, 3) for word in re.findall(r"[a-z]+|[.,;]", row["text"])})
    endings = sorted({f"##{word[-3:]}" for word in words if len(word) > 5})
    return list(dict.fromkeys([*LETTERS, *(f"##{letter}" for letter in LETTERS), *endings, *words]))


def unigrams(special: tuple[str, ...]) -> list[tuple[str, float]]:
    """Letters, words and their beginnings with the logarithms of their shares."""
    counts = collections.Counter(f"▁{word}" for row in sentences(400, 3) for word in row["text"].split())
    total = counts.total()
    known = {f"▁{letter}": -15.0 for letter in LETTERS} | {word[:4]: -12.0 for word in sorted(counts)}
    known |= {word: math.log(counts[word] / total) for word in sorted(counts)}
    letters = dict.fromkeys(("▁", *LETTERS), -14.0)
    return [*((name, 0.0) for name in special), *(letters | known).items()]


def tokenizer(kind: str) -> Any:
    """A fast tokenizer of the kind that this network is used with, for the sentences."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    cut = ALL[kind][0]
    roberta = kind in ("roberta", "mpnet")
    names = SPECIAL["roberta" if roberta else "bert"]
    pad, unknown, first, last = (
        (names[1], names[3], names[0], names[2]) if roberta else (names[0], names[1], names[2], names[3])
    )
    if cut == "WordPiece":
        vocabulary = {piece: place for place, piece in enumerate([*names, *word_pieces()])}
        made = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
        made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
    elif cut == "BPE":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(names), initial_alphabet=alphabet)
        made.train_from_iterator((row["text"] for row in sentences(400, 3)), trainer)
    else:
        made = Tokenizer(models.Unigram(unigrams(names), unk_id=names.index(unknown)))
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    places = [(name, made.token_to_id(name)) for name in (first, last)]
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} $B:1 {last}:1", special_tokens=places
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=pad,
        unk_token=unknown,
        cls_token=first,
        sep_token=last,
        mask_token=names[4],
        model_max_length=64,
    )


def tagged(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences in words, where praise and blame are tagged; "and" between two of a kind is inside of one entity."""
    rows = []
    for row in sentences(count, seed):
        words = row["text"].split()
        kinds = ["GOOD" if word in GOOD else "BAD" if word in BAD else "" for word in words]
        inside = ""
        tags = []
        for place, kind in enumerate(kinds):
            if not kind and words[place] == "and" and inside:
                kind = inside
            tags.append(f"{'I' if kind == inside else 'B'}-{kind}" if kind else "O")
            inside = kind
        rows.append({"words": words, "tags": tags})
    return rows


def tagged_folder(folder: Path, train: int = 192, test: int = 64) -> Path:
    """A folder of words with tags."""
    write_rows(folder / "train.jsonl", tagged(train, 1))
    write_rows(folder / "test.jsonl", tagged(test, 2))
    return folder


def alike(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs of sentences and how alike they are: 3 points where both praise or both blame, 1 for the same thing."""
    chance = torch.Generator().manual_seed(seed)

    def place(choices: int) -> int:
        return int(torch.randint(choices, (1,), generator=chance))

    rows = []
    for _ in range(count):
        kinds, things = [place(2), place(2)], [place(3), place(3)]
        texts = [
            SHAPES[place(len(SHAPES))].format(
                thing=THINGS[thing], first=(GOOD, BAD)[kind][place(8)], second=(GOOD, BAD)[kind][place(8)]
            )
            for kind, thing in zip(kinds, things, strict=True)
        ]
        score = 3.0 * (kinds[0] == kinds[1]) + (things[0] == things[1])
        rows.append({"one": texts[0], "other": texts[1], "alike": score})
    return rows


def alike_folder(folder: Path, train: int = 192, test: int = 64) -> Path:
    """A folder of pairs of texts with numbers."""
    write_rows(folder / "train.jsonl", alike(train, 1))
    write_rows(folder / "test.jsonl", alike(test, 2))
    return folder


def rated_folder(folder: Path, train: int = 192, test: int = 64) -> Path:
    """A folder of texts with numbers."""
    write_rows(folder / "train.jsonl", rated(train, 1))
    write_rows(folder / "test.jsonl", rated(test, 2))
    return folder


def encoder_folder(
    folder: Path,
    kind: str = "bert",
    labels: tuple[str, ...] = ("bad", "good"),
    task: str = "text-classification",
    **changes: Any,
) -> Path:
    """A random network of this kind with the head of a task, saved as its users save theirs."""
    import transformers

    if task == "token-classification":
        labels = TAGS
    if task == "text-regression":
        labels, changes = ("LABEL_0",), {"problem_type": "regression", **changes}

    spoken = tokenizer(kind)
    # Qwen2's own tokenizer class adds a token of its own, and real tables have rows to spare.
    size = len(spoken) + 8 * (kind in DECODERS)
    settings = {**SIZES, **ALL[kind][1], "vocab_size": size, "pad_token_id": spoken.pad_token_id, **changes}
    settings["id2label"] = dict(enumerate(labels))
    settings["label2id"] = {name: place for place, name in enumerate(labels)}
    config = transformers.AutoConfig.for_model(kind, **settings)
    torch.manual_seed(0)
    made = getattr(transformers, HEADS[task]).from_config(config)
    made.save_pretrained(folder)
    spoken.save_pretrained(folder)
    return folder
