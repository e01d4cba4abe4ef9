"""A vocabulary of symbols from the data itself, for sequences that no pretrained tokenizer is about."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from compressor.data.tokenizer import engine
from compressor.errors import DataError, ModelFileError
from compressor.extras import require
from compressor.models import TokenizerSpec

# Characters, or what stands between spaces.
Symbols = Literal["characters", "words"]
PAD, START, END, UNKNOWN = SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
# As a tokenizer_config.json calls them.
ROLES = {"pad_token": PAD, "bos_token": START, "eos_token": END, "unk_token": UNKNOWN}
# A space is a symbol among characters, and what separates words.
ANY_CHARACTER = r"[\s\S]"


def symbol_tokenizer(texts: Iterable[str], symbols: Symbols, max_length: int) -> TokenizerSpec:
    """A tokenizer that knows every symbol of these texts; sequences end with ``</s>``, others' symbols are ``<unk>``.

    Ids are 0 for padding, 1 for the start, 2 for the end, 3 for what isn't known, then symbols from the most frequent
    on; those as frequent as one another in the order of their characters.

    Args:
        texts: Of the training split.
        symbols: What one token is.
        max_length: Tokens, the end among them; longer text is cut off.

    Raises:
        DataError: There are no symbols, or one is called as a special token is.
    """
    library = require("tokenizers")
    counts = Counter(symbol for text in texts for symbol in (text if symbols == "characters" else text.split()))
    if not counts:
        raise DataError("no symbol in any training text", "texts that aren't empty")
    taken = [name for name in SPECIAL if name in counts]
    if taken:
        raise DataError(f"the training texts have the symbol '{taken[0]}', which means something here", "another name")
    ordered = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
    ids = {symbol: place for place, symbol in enumerate((*SPECIAL, *ordered))}
    made = library.Tokenizer(library.models.WordLevel(ids, unk_token=UNKNOWN))
    if symbols == "characters":
        made.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(ANY_CHARACTER), "isolated")
        made.decoder = library.decoders.Fuse()
    else:
        made.pre_tokenizer = library.pre_tokenizers.WhitespaceSplit()
    made.post_processor = library.processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, ids[END])])
    made.add_special_tokens(list(SPECIAL))
    return TokenizerSpec(content=made.to_str(), config=dict(ROLES), pad_id=ids[PAD], max_length=max_length)


def special_id(spec: TokenizerSpec, role: str, where: str) -> int:
    """The id of a special token, by what ``tokenizer_config.json`` says that it is.

    Args:
        spec: The tokenizer.
        role: ``"bos_token"``, ``"eos_token"``, ``"pad_token"`` or ``"unk_token"``.
        where: Named in the error.

    Raises:
        ModelFileError: The tokenizer has none.
    """
    token = spec.config.get(role)
    # Older files say more of a token than its text.
    token = token.get("content") if isinstance(token, dict) else token
    found = engine(spec).token_to_id(token) if isinstance(token, str) else None
    if found is None:
        raise ModelFileError(
            f"{where}: its tokenizer has no {role}", f'a tokenizer_config.json that names it: "{role}": "..."'
        )
    return int(found)


def texts_of(spec: TokenizerSpec, sequences: Iterable[Sequence[int]]) -> list[str]:
    """Sequences of ids as texts, special tokens left out."""
    made: Any = engine(spec)
    return [str(text) for text in made.decode_batch([list(ids) for ids in sequences], skip_special_tokens=True)]


def unknown_symbols(spec: TokenizerSpec, texts: Sequence[str]) -> Counter[str]:
    """How often each symbol that a tokenizer doesn't know stands in these texts."""
    made, found = engine(spec), Counter[str]()
    unknown = made.token_to_id(UNKNOWN)
    for text, encoded in zip(texts, made.encode_batch(list(texts), add_special_tokens=False), strict=True):
        found.update(
            text[slice(*place)] for token, place in zip(encoded.ids, encoded.offsets, strict=True) if token == unknown
        )
    return found
