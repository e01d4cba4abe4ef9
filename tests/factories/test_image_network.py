"""A network for images is built from its configuration alone."""

import pytest
import torch
import transformers

from compressor.errors import InputError
from compressor.factories import build
from compressor.factories.image_network import image_network, reference_of_images

CONFIG = {"hidden_sizes": [8], "depths": [1], "layer_type": "basic", "embedding_size": 8, "num_labels": 4}


def test_built_from_plain_values() -> None:
    made = image_network({"model_type": "resnet", **CONFIG})
    assert made(torch.rand(2, 3, 16, 16)).shape == (2, 4)
    again = build(reference_of_images(made.network.config))
    assert [tuple(one.shape) for one in again.parameters()] == [tuple(one.shape) for one in made.parameters()]


def test_the_class_that_a_configuration_names() -> None:
    config = transformers.DeiTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=16)
    values = config.to_diff_dict() | {"model_type": "deit", "architectures": ["DeiTForImageClassificationWithTeacher"]}
    assert type(image_network(values).network).__name__ == "DeiTForImageClassificationWithTeacher"


@pytest.mark.parametrize("kind", ["bert", "nothing"])
def test_others_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match="transformers"):
        image_network({"model_type": kind})
