"""A stand-in for a pretrained encoder, and sentences to fine-tune it on; nothing is downloaded.

The encoder is a BERT of two narrow layers with random weights and a tokenizer that was trained on the sentences, in
a folder as `save_pretrained` leaves it. The sentences praise or blame, one JSON object a line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS = {
    "good": [
        "wonderful",
        "brilliant",
        "moving",
        "funny",
        "clever",
        "charming",
        "superb",
        "delightful",
        "warm",
        "gripping",
    ],
    "bad": ["dull", "boring", "awful", "clumsy", "tedious", "shallow", "terrible", "lifeless", "cold", "muddled"],
}
THINGS = [
    "film",
    "story",
    "acting",
    "plot",
    "music",
    "ending",
    "script",
    "picture",
    "dialogue",
    "cast",
    "camera",
    "pace",
]
SHAPES = (
    "the {thing} is {first} and {second}",
    "a {first}, {second} {thing}",
    "what a {first} {thing}; the {other} is {second} too",
    "{first} from start to finish, with a {second} {thing}",
    "I found the {thing} {first}, and the {other} {second}.",
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def sentences(count: int) -> list[dict[str, str]]:
    """Sentences with their label, as many of one as of the other."""
    chance = np.random.default_rng(0)
    rows = []
    for place in range(count):
        label = ("good", "bad")[place % 2]
        first, second = chance.choice(WORDS[label], 2, replace=False)
        thing, other = chance.choice(THINGS, 2, replace=False)
        shape = SHAPES[chance.integers(len(SHAPES))]
        rows.append({"text": shape.format(thing=thing, other=other, first=first, second=second), "label": label})
    return rows


def tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Word pieces of these texts, as BERT reads them."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=500, special_tokens=SPECIAL))
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **names)  # type: ignore[no-untyped-call]


def main() -> None:
    """Write the encoder's folder and the sentences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("encoder"))
    parser.add_argument("--data", type=Path, default=Path("reviews.jsonl"))
    arguments = parser.parse_args()

    rows = sentences(1200)
    arguments.data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    made = tokenizer([row["text"] for row in rows])
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(made),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(arguments.out)
    made.save_pretrained(arguments.out)
    print(f"{arguments.out}: an encoder of 2 layers and {len(made)} tokens; {arguments.data}: {len(rows)} sentences")


if __name__ == "__main__":
    main()
