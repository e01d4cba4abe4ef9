"""Folders of the transformers library: the same answers, a head where there is none, and what is refused unrun."""

import json
import shutil
from pathlib import Path
from typing import Any

import encoders
import pytest
import small_texts
import torch

from compressor.errors import CompressError, InputError, ModelFileError, UntrustedError
from compressor.loading import load_file
from compressor.loading.huggingface import head_for, with_new_head
from compressor.models import TorchModel
from compressor.prune.configuration import narrowed
from compressor.prune.transformers import prune_blocks
from compressor.prune.width import prune_width

EVIL = "from pathlib import Path\nPath({path!r}).touch()\nclass Evil: pass\n"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders.encoder_folder(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    """A copy to be spoiled."""
    return Path(shutil.copytree(bert, tmp_path / "copied"))


def configure(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def loaded(folder: Path, **options: Any) -> TorchModel:
    model = load_file(folder, **options)
    assert isinstance(model, TorchModel)
    return model


def test_a_decoder_s_head_of_another_task_is_drawn_anew(tmp_path: Path) -> None:
    model = load_file(encoders.encoder_folder(tmp_path, "llama"), task="text-regression")
    assert isinstance(model, TorchModel)
    assert model.info.untrained == ("score.weight",)
    assert with_new_head(model, (), seed=0).info.untrained == ()


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_it_answers_as_transformers_does(kind: str, tmp_path: Path) -> None:
    import transformers

    encoders.encoder_folder(tmp_path, kind)
    model = loaded(tmp_path)
    texts = ["a wonderful film", "x", "", "the plot is dull from start to finish ; what a boring story"]
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert model.info.tokenizer is not None
    batch = transformers.AutoTokenizer.from_pretrained(tmp_path)(texts, padding=True, return_tensors="pt")
    # Tokenizers of no kind in particular say nothing of pairs.
    batch.setdefault("token_type_ids", torch.zeros_like(batch["input_ids"]))
    given = {name: batch[name] for name in model.info.tokenizer.inputs}
    with torch.no_grad():
        wanted, found = theirs(**given).logits, model.module(*given.values())
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert model.info.classes == ("bad", "good") and model.info.untrained == ()
    assert model.info.task == "text-classification"
    assert [spec.name for spec in model.info.inputs] == list(model.info.tokenizer.inputs)


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_the_longest_text_fits_and_one_token_more_does_not(kind: str, tmp_path: Path) -> None:
    """64 tokens by position tables of 64 rows, or of 66 where padding comes first."""
    model = loaded(encoders.encoder_folder(tmp_path, kind))
    spec = model.info.tokenizer
    assert spec is not None and spec.max_length == 64
    ids = torch.full((1, 64), 9)
    rest = [torch.ones_like(ids) if name == "attention_mask" else torch.zeros_like(ids) for name in spec.inputs[1:]]
    assert model.module(ids, *rest).isfinite().all()
    # DeBERTa knows positions only relative to one another.
    if kind != "deberta-v2":
        with pytest.raises((IndexError, RuntimeError)):
            model.module(torch.full((1, 65), 9), *(torch.ones(1, 65, dtype=torch.int64) for _ in rest))


def test_weights_of_another_file_have_another_digest(bert: Path, folder: Path) -> None:
    from safetensors.torch import load_file as read
    from safetensors.torch import save_file

    before = loaded(bert).info.sha256
    assert loaded(folder).info.sha256 == before
    tensors = read(folder / "model.safetensors")
    save_file(
        {**tensors, "classifier.bias": tensors["classifier.bias"] + 1}, folder / "model.safetensors", {"format": "pt"}
    )
    assert loaded(folder).info.sha256 != before


def pretrained(folder: Path) -> Path:
    """As from pretraining: no head, and no pooler."""
    import transformers

    made = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False)
    made.save_pretrained(folder)
    return folder


def test_a_pretrained_network_gets_a_head_under_the_seed(folder: Path) -> None:
    model = loaded(pretrained(folder))
    assert model.info.classes == ()
    assert "classifier.weight" in model.info.untrained and "bert.pooler.dense.weight" in model.info.untrained
    three = ("x", "y", "z")
    first, same, other = (with_new_head(loaded(folder), three, seed) for seed in (0, 0, 1))
    states = [made.module.state_dict() for made in (first, same, other)]
    assert torch.equal(states[0]["network.classifier.weight"], states[1]["network.classifier.weight"])
    assert not torch.equal(states[0]["network.classifier.weight"], states[2]["network.classifier.weight"])
    assert states[0]["network.classifier.weight"].shape == (3, 32)
    key = "network.bert.encoder.layer.2.output.dense.weight"
    assert torch.equal(states[0][key], model.module.state_dict()[key])
    assert first.info.classes == three and first.info.untrained == ()
    assert first.info.factory is not None
    assert first.info.factory.arguments["config"]["id2label"] == dict(enumerate(three))
    # Two classes as the untrained head happens to have: it is drawn under the seed all the same.
    two = [with_new_head(loaded(folder), ("a", "b"), 0).module.network.classifier.weight for _ in range(2)]  # type: ignore[union-attr]
    assert torch.equal(two[0], two[1])


@pytest.mark.parametrize("kind", small_texts.KINDS)
def test_a_head_for_other_classes_on_a_pruned_body(kind: str) -> None:
    model = small_texts.encoder(kind)
    assert head_for(model, ("bad", "good"), 0) == (model, "") == head_for(model, (), 0)
    prune_blocks(model.module, heads=0.5, neurons=0.5)
    prune_width(model.module, small_texts.inputs_of(model), 0.25)
    pruned = TorchModel(model.module, narrowed(model.info, model.module))
    made, note = head_for(pruned, ("x", "y", "z"), 0)
    assert note == "the head has 2 classes (bad, good), the data 3 classes (x, y, z): a new head was made"
    assert made.info.classes == ("x", "y", "z")
    assert small_texts.answers(made, small_texts.inputs_of(made)).shape == (6, 3)
    before, after = pruned.module.state_dict(), made.module.state_dict()
    body = [key for key in before if ".encoder." in key or ".embeddings." in key]
    assert body and all(torch.equal(before[key], after[key]) for key in body)


def test_a_pickle_needs_trust(folder: Path) -> None:
    weights = loaded(folder).module.network.state_dict()  # type: ignore[union-attr, operator]
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"has no model\.safetensors"):
        load_file(folder)
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(UntrustedError, match="is a pickle"):
        load_file(folder)
    assert torch.equal(loaded(folder, trust=True).module.network.classifier.weight, weights["classifier.weight"])  # type: ignore[union-attr]


@pytest.mark.parametrize("trust", [False, True])
def test_code_beside_a_model_is_never_run(folder: Path, tmp_path: Path, trust: bool) -> None:
    (folder / "evil.py").write_text(EVIL.format(path=str(tmp_path / "ran")))
    code = {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}
    configure(folder, auto_map=code)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "auto_map": tokenizer}))
    model = loaded(folder, trust=trust)
    assert model.info.factory is not None and "auto_map" not in model.info.factory.arguments["config"]
    configure(folder, model_type="evil")
    with pytest.raises(InputError, match="no network of type 'evil'"):
        load_file(folder, trust=trust)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model_type": "bertt"}, "no network of type 'bertt'; did you mean 'bert'"),
        ({"model_type": "vit"}, r"has no weights for \d+ of the network's tensors: vit"),
        ({"hidden_size": "wide"}, "takes no such configuration of a bert"),
        ({"hidden_size": 33}, "not a multiple of the number of attention heads"),
        ({"hidden_size": 64}, r"has the shape \(32,\), by config\.json it is \(64,\)"),
        ({"num_hidden_layers": 5}, r"has no weights for 16 of the network's tensors: bert\.encoder\.layer\.4"),
    ],
)
def test_a_configuration_that_does_not_fit(folder: Path, values: dict[str, Any], words: str) -> None:
    configure(folder, **values)
    with pytest.raises(CompressError, match=words):
        load_file(folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", "{", r"config\.json is not JSON"),
        ("config.json", "[]", r"config\.json is a list, not an object"),
        ("config.json", "{}", "no network of type ''"),
        ("model.safetensors", "cut off", "is damaged"),
        ("tokenizer.json", "{}", "no tokenizer that can be read"),
        ("tokenizer.json", None, "has no tokenizer: none of"),
    ],
)
def test_damaged_files_are_named(folder: Path, name: str, content: str | None, words: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(CompressError, match=words) as caught:
        load_file(folder)
    assert caught.value.hint


def test_no_such_task(folder: Path) -> None:
    with pytest.raises(InputError, match="no text task 'text-clasification'; did you mean 'text-classification'"):
        load_file(folder, task="text-clasification")
