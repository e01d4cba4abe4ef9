"""A folder's config.json, held against its weights before a network of the sizes that it names is made."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open

from compressor.errors import ModelFileError
from compressor.faults import shown
from compressor.reading import as_record, read_json

CONFIG, INDEX = "config.json", "model.safetensors.index.json"
HINT = "copy the folder again"
# A pruned network's configuration may be wider than its weights, by less than this.
SLACK = 16
ROOM = 10**6

Size = Annotated[int, Field(strict=True, ge=1, lt=2**31)]
Id = Annotated[int, Field(strict=True, ge=-1, lt=2**31)]


class _Config(BaseModel):
    """What is read of a configuration here; the library reads the rest."""

    model_config = ConfigDict(extra="allow")

    model_type: str | None = None
    architectures: list[str] | None = None
    problem_type: str | None = None
    id2label: dict[str, str] | None = None
    num_labels: Size | None = None
    vocab_size: Size | None = None
    type_vocab_size: Annotated[int, Field(strict=True, ge=0, lt=128)] | None = None
    max_position_embeddings: Size | None = None
    pad_token_id: Id | None = None


def read_config(folder: Path) -> dict[str, Any]:
    """The values of a folder's config.json.

    Raises:
        ModelFileError: It isn't JSON, an entry is of another kind, or sizes are none that its weights could have.
    """
    path = folder / CONFIG
    values: dict[str, Any] = read_json(path, dict, HINT, ModelFileError)
    named = as_record(_Config, values, str(path), HINT, ModelFileError).id2label
    if named is not None and sorted(named) != sorted(map(str, range(len(named)))):
        raise ModelFileError(f"{path}: id2label: wanted the numbers from 0 to {len(named) - 1}, each once", HINT)
    shapes = _shapes(folder)
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or name.endswith("_id"):
            continue
        layers = "layer" in name and not name.startswith("id")
        most = len(shapes) if layers else max([ROOM, *(side * SLACK for shape in shapes.values() for side in shape)])
        if shapes and (value > most or (value < 0 and (layers or "size" in name or "heads" in name))):
            what = "layers" if layers else "of a size"
            raise ModelFileError(f"{path}: {name}: got {str(value)[:20]}, and its weights have no such {what}", HINT)
    return values


def check_size(folder: Path, parameters: int) -> None:
    """Refuse a configuration of a network that is far larger than the folder's weights.

    Raises:
        ModelFileError: Naming both counts.
    """
    shapes = _shapes(folder)
    held = sum(_product(shape) for shape in shapes.values())
    if shapes and parameters > SLACK * held + SLACK * ROOM:
        raise ModelFileError(
            f"{folder / CONFIG} describes a network of {parameters:.3g} parameters, and the weights hold {held:.3g}",
            HINT,
        )


def check_vocabulary(folder: Path) -> None:
    """Refuse a tokenizer whose ids go far beyond its words: the library counts up to the largest.

    Raises:
        ModelFileError: Naming the file and the id.
    """
    for path in (folder / "tokenizer.json", folder / "vocab.json"):
        if not path.exists():
            continue
        content: Any = read_json(path, dict, HINT, ModelFileError)
        model = content.get("model") if path.stem == "tokenizer" else {"vocab": content}
        vocab = model.get("vocab") if isinstance(model, dict) else None
        added = content.get("added_tokens")
        ids = list(vocab.values()) if isinstance(vocab, dict) else []
        ids += [one.get("id") for one in added if isinstance(one, dict)] if isinstance(added, list) else []
        wrong = [one for one in ids if not isinstance(one, int) or not 0 <= one < SLACK * len(ids) + ROOM]
        if wrong:
            raise ModelFileError(f"{path}: got the id {shown(wrong[0])} among {len(ids)} tokens", HINT)


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors in the folder's safetensors files, from their heads alone; empty without such."""
    index = folder / INDEX
    if index.exists():
        files = read_json(index, dict, HINT, ModelFileError).get("weight_map")
        names = set(files.values()) if isinstance(files, dict) and all(map(_is_text, files.values())) else {""}
        outside = sorted(name for name in names if not name or Path(name).name != name)
        if outside:
            raise ModelFileError(f"{index} names '{outside[0][:80]}', which is no file of its folder", HINT)
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as fault:
            raise ModelFileError(f"{path} is damaged: {fault}", HINT) from None
    return shapes


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
