"""Folders of transformers' networks for images: the same answers, pixels prepared as the processor does, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from compressor.errors import CompressError, InputError, ModelFileError
from compressor.loading import load_file, load_form, save_form
from compressor.models import TorchModel
from compressor.prune import prune_channels
from compressor.prune.transformers import is_transformer, prune_blocks

SIDE = 16
NAMES = {0: "zero", 1: "one", 2: "two"}
NETWORKS: dict[str, Any] = {
    "vit": transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, image_size=SIDE, patch_size=8
    ),
    "resnet": transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    "deit": transformers.DeiTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=SIDE, patch_size=8
    ),
}
CLASSES = {
    "vit": "ViTForImageClassification",
    "resnet": "ResNetForImageClassification",
    "deit": "DeiTForImageClassificationWithTeacher",
}
PROCESSOR = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "size": {"height": SIDE, "width": SIDE}}


def folder_of(kind: str, folder: Path, processor: dict[str, Any] | None = None) -> Any:
    """Write a network and its processor, and give the network."""
    torch.manual_seed(0)
    config = NETWORKS[kind]
    config.id2label = NAMES
    network = getattr(transformers, CLASSES[kind])(config).eval()
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR if processor is None else processor))
    return network


def loaded(folder: Path, **options: Any) -> TorchModel:
    model = load_file(folder, **options)
    assert isinstance(model, TorchModel)
    return model


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_it_answers_as_transformers_does(kind: str, tmp_path: Path) -> None:
    theirs = folder_of(kind, tmp_path)
    model = loaded(tmp_path)
    images = torch.rand(3, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(model.module(images), theirs(images).logits, atol=1e-6)
    assert model.info.task == "image-classification" and model.info.classes == tuple(NAMES.values())
    (spec,) = model.info.inputs
    assert spec.shape == (3, SIDE, SIDE)
    assert spec.mean == pytest.approx((0.5, 0.4, 0.3)) and spec.std == pytest.approx((0.2, 0.3, 0.4))


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_a_pruned_one_is_read_again(kind: str, tmp_path: Path) -> None:
    folder_of(kind, tmp_path / "theirs")
    model = loaded(tmp_path / "theirs")
    inputs = (torch.rand(2, 3, SIDE, SIDE),)
    if is_transformer(model.module, inputs):
        prune_blocks(model.module, heads=0.5, neurons=0.5, round_to=4)
    else:
        prune_channels(model.module, inputs, 0.5, round_to=4)
    save_form(model, tmp_path / "ours", inputs)
    again = load_form(tmp_path / "ours")
    assert sum(map(torch.numel, again.module.parameters())) < sum(
        map(torch.numel, loaded(tmp_path / "theirs").module.parameters())
    )
    assert torch.equal(again.module(*inputs), model.module(*inputs))


def test_pixels_are_prepared_as_the_processor_says(tmp_path: Path) -> None:
    folder_of("resnet", tmp_path, PROCESSOR | {"rescale_factor": 1 / 127.5, "crop_size": 8})
    spec = loaded(tmp_path).info.inputs[0]
    assert spec.shape == (3, 8, 8)
    pixels = torch.tensor([200.0, 100.0, 50.0])
    wanted = (pixels / 127.5 - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.3, 0.4])
    assert torch.allclose((pixels / 255 - torch.tensor(spec.mean)) / torch.tensor(spec.std), wanted, atol=1e-5)
    (tmp_path / "preprocessor_config.json").rename(tmp_path / "other.json")
    assert loaded(tmp_path).info.inputs == ()
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"image_processor": PROCESSOR | {"do_normalize": False}})
    )
    spec = loaded(tmp_path).info.inputs[0]
    assert spec.shape == (3, SIDE, SIDE) and spec.mean == ()


def test_classes_without_names_are_the_data_s(tmp_path: Path) -> None:
    folder_of("vit", tmp_path)
    path = tmp_path / "config.json"
    named = {"id2label": {str(place): f"LABEL_{place}" for place in range(3)}}
    path.write_text(json.dumps(json.loads(path.read_text()) | named))
    assert loaded(tmp_path).info.classes == ()


def test_a_configuration_that_counts_no_classes(tmp_path: Path) -> None:
    sizes = {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2]}
    transformers.PvtForImageClassification(transformers.PvtConfig(image_size=32, **sizes)).save_pretrained(tmp_path)
    model = loaded(tmp_path)
    assert model.info.classes == () and model.info.inputs[0].shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("file", "changed", "said"),
    [
        ("preprocessor_config.json", {"image_std": [0, 1, 1]}, "image_std"),
        ("preprocessor_config.json", {"image_mean": [0.5]}, "image_mean has 1 numbers, and the network takes 3"),
        ("preprocessor_config.json", {"size": {"height": -1}}, "size"),
        ("preprocessor_config.json", {"image_mean": "half"}, "image_mean"),
        ("config.json", {"num_channels": 4}, "shape"),
        ("config.json", {"model_type": "vitt"}, "did you mean 'vit'"),
    ],
)
def test_what_is_damaged_is_named(file: str, changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder_of("vit", tmp_path)
    path = tmp_path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(CompressError, match=said):
        load_file(tmp_path)


def test_a_normalisation_is_not_lost_for_want_of_a_size(tmp_path: Path) -> None:
    folder_of("resnet", tmp_path, {name: value for name, value in PROCESSOR.items() if name != "size"})
    with pytest.raises(ModelFileError, match="says how images are normalised, and not of which size"):
        load_file(tmp_path)


def test_a_head_that_nobody_trained(tmp_path: Path) -> None:
    transformers.ViTModel(NETWORKS["vit"]).save_pretrained(tmp_path)
    with pytest.raises(ModelFileError, match="its head for images was never trained"):
        load_file(tmp_path)


def test_it_is_no_text_network(tmp_path: Path) -> None:
    folder_of("vit", tmp_path)
    with pytest.raises(InputError, match="network for images \\(vit\\), which has no task"):
        load_file(tmp_path, task="text-classification")
