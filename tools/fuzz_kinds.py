"""What fuzz_inputs.py makes: for each kind of input a valid base, spoiled in one of many ways."""

import json
import pickle  # noqa: TID251 - the malicious pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import compressor
from compressor.data.load import load_data
from compressor.factories.small_images import digits_net
from compressor.loading import load_file, save_form
from compressor.models import InputSpec, ModelInfo, TorchModel
from compressor.profile import load_profile
from compressor.report import Report

CANARY = "canary-that-nothing-may-write"
Rng = np.random.Generator
Made = tuple[Callable[[], Any], str]
DEEP: Any = "DEEP"
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**32, 2**63, 2**64, 10**30, 1e400, -1e400, float("nan"), 0.5, "", "x", "\0",
    "x" * 5000, "\x1b[31mred\x1b[0m", "\u202eevil", "../../../../etc/passwd", "/dev/zero", [], {}, [1, 2], [[[]]],
    {"a": 1}, [None], "os:system", "package.module:factory", "--1", "²", DEEP, list(range(300)),
]  # fmt: skip


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (CANARY, "w"))


def make_bases(folder: Path) -> dict[str, Path]:
    """One valid input of each kind."""
    torch.manual_seed(0)
    module = digits_net().eval()
    inputs = (InputSpec(shape=(1, 8, 8)),)
    ref = compressor.factories.parse_factory("compressor.factories.small_images:digits_net")
    info = ModelInfo(factory=ref, data="digits", inputs=inputs, classes=tuple("0123456789"))
    save_form(TorchModel(module, info), folder / "form", (torch.rand(4, 1, 8, 8),))
    torch.save(module.state_dict(), folder / "bare.pt")
    _huggingface(folder / "huggingface")
    _image_network(folder / "imagenetwork")
    np.savez(
        folder / "images.npz",
        x_train=np.zeros((40, 8, 8), np.uint8),
        y_train=np.arange(40) % 4,
        x_test=np.zeros((20, 8, 8), np.uint8),
        y_test=np.arange(20) % 4,
    )
    rows = [{"text": f"a text of {place} words", "label": "ab"[place % 2]} for place in range(40)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rows.csv").write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows))
    return {path.name: path for path in folder.iterdir()}


def _huggingface(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification

    words = {word: place for place, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "text", "of"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    config = BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=16, id2label={0: "no", 1: "yes"},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"model_max_length": 16, "pad_token": "[PAD]", "unk_token": "[UNK]", "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _image_network(folder: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8, patch_size=4,
        num_channels=1, id2label=dict(enumerate("0123456789")),
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    prepared = {
        "do_normalize": True,
        "image_mean": [0.5],
        "image_std": [0.5],
        "rescale_factor": 0.004,
        "size": {"height": 8, "width": 8},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))


def spoiled_json(rng: Rng, content: Any) -> str:
    """A JSON text with one or two of its values replaced, removed or nested."""
    for _ in range(int(rng.integers(1, 3))):
        # A copy each time: the second may put something into what the first put in, which all inputs share.
        content = _replaced(rng, json.loads(json.dumps(content)))
    text = json.dumps(content)
    brackets = ("[" * 10**5 + "]" * 10**5) if rng.random() < 0.5 else '{"a":' * 10**5 + "1" + "}" * 10**5
    return text.replace('"DEEP"', brackets).replace('"package.module:factory"', "9" * 5000)


def _replaced(rng: Rng, content: Any) -> Any:
    value = VALUES[rng.integers(len(VALUES))]
    place, keys = content, []
    while isinstance(place, dict | list) and place and rng.random() < 0.8:
        key = list(place)[rng.integers(len(place))] if isinstance(place, dict) else int(rng.integers(len(place)))
        keys.append((place, key))
        place = place[key]
    if not keys:
        return value if rng.random() < 0.3 or not isinstance(content, dict) else {**content, "extra": value}
    holder, key = keys[-1]
    if rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = value
    return content


def spoil(rng: Rng, path: Path) -> str:
    """Damage one file in place; in words what was done."""
    content = path.read_bytes()
    way = int(rng.integers(8))
    if path.suffix == ".json" and way < 5:
        path.write_text(spoiled_json(rng, json.loads(content)), errors="surrogatepass")
        return f"{path.name}: values changed"
    match way:
        case 5:
            path.unlink()
            (path.mkdir if rng.random() < 0.5 else lambda: path.symlink_to(path))()
        case 6:
            path.unlink()
        case 7:
            path.write_bytes(b"")
        case 4:
            path.write_bytes(content[: int(rng.integers(len(content)))])
        case _:
            changed = bytearray(content)
            for _ in range(int(rng.integers(1, 20))):
                changed[rng.integers(len(changed))] = int(rng.integers(256))
            path.write_bytes(changed)
    return f"{path.name}: way {way}"


def _folder(base: str) -> Callable[[Rng, Path, dict[str, Path]], Made]:
    def make(rng: Rng, place: Path, bases: dict[str, Path]) -> Made:
        folder = place / base
        shutil.copytree(bases[base], folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        done = spoil(rng, files[rng.integers(len(files))])
        return lambda: load_file(folder), done

    return make


def _model(rng: Rng, place: Path, bases: dict[str, Path]) -> Made:
    path = place / f"model{('.pt', '.safetensors', '.onnx', '.pt2', '')[rng.integers(5)]}"
    way = int(rng.integers(4))
    if way == 0:
        torch.save({"state_dict": _Bomb(), "factory": VALUES[rng.integers(len(VALUES))]}, path)
    elif way == 1:
        path.write_bytes(pickle.dumps(_Bomb()))
    elif way == 2:
        torch.save(
            {key: VALUES[rng.integers(len(VALUES))] for key in ("format", "factory", "state_dict", "task")}, path
        )
    else:
        shutil.copy(bases["bare.pt"], path)
        spoil(rng, path)
    return lambda: load_file(path), f"{path.name}: way {way}"


def _data(rng: Rng, place: Path, bases: dict[str, Path]) -> Made:
    base = bases[("images.npz", "rows.jsonl", "rows.csv")[rng.integers(3)]]
    path = place / base.name
    shutil.copy(base, path)
    done = spoil(rng, path)
    if rng.random() < 0.1:
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x_train.npy", b"\0" * 10**7)
    args = {"text": "text", "label": "label"} if path.suffix != ".npz" else {}
    return lambda: load_data(str(path), args=args), done


def _profile(rng: Rng, place: Path, bases: dict[str, Path]) -> Made:
    path = place / "given.toml"
    value = VALUES[rng.integers(len(VALUES))]
    text = json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf").replace("{}", "{}")
    text = text.replace("null", "''").replace('"DEEP"', "[" * 10**5).replace("\\u0000", "\\\\u0000")
    keys = ("target.threads", "budget.latency_ms", "stage", "extends", "summary", "text.stage", "extra", "target")
    own = (
        "train.lr",
        "kd.temperature",
        "train.epochs",
        "kd.terms",
        "student",
        "only",
        "for",
        "for.texts",
        "for.texts.train",
    )
    stage = "".join(f"{key} = {text}\n" for key in own if rng.random() < 0.3)
    head = f"{keys[rng.integers(len(keys))]} = {text}\n" if rng.random() < 0.5 else "target.runtime = 'onnxruntime'\n"
    path.write_text(f"{head}[[stage]]\nkind = 'distill'\n{stage}", errors="surrogatepass")
    if rng.random() < 0.3:
        spoil(rng, path)
    return lambda: load_profile(str(path), [f"distill.{own[rng.integers(len(own))]}={text[:10000]}"]), text[:80]


def _report(rng: Rng, place: Path, bases: dict[str, Path]) -> Made:
    path = place / "report.json"
    path.write_text(spoiled_json(rng, {"status": "ok", "profile": {}, "seed": 1, "stages": [{"name": "x"}]}))
    return lambda: Report.read(path), "report"


def _name(rng: Rng, place: Path, bases: dict[str, Path]) -> Made:
    (place / "loop").symlink_to(place / "loop")
    odd = ("x" * 300, "x/" * 3000, "a\0b", str(place), str(place / "loop"), "", ".", "/dev/null", "\x1b[31m", "nosuch")
    name = odd[rng.integers(len(odd))] + ("", ".npz", ".csv", ".onnx", "/x", "@1")[rng.integers(6)]
    readers: tuple[Callable[[str], Any], ...] = (load_file, load_data, load_profile)
    reader = readers[rng.integers(3)]
    return lambda: reader(name), f"{reader.__name__}({name[:60]!r})"


KINDS: dict[str, Callable[[Rng, Path, dict[str, Path]], Made]] = {
    "huggingface": _folder("huggingface"),
    "imagenetwork": _folder("imagenetwork"),
    "form": _folder("form"),
    "model": _model,
    "data": _data,
    "profile": _profile,
    "report": _report,
    "name": _name,
}
