"""Layers found by resolution, in networks of other widths, depths and families, and in graphs."""

import pytest
import small_texts
import torch
from nets import SIZE, mobilenet_v2, resnet18
from torch import nn

from compressor.distill.pairing import auto_pairs, encoder_pairs, named_pairs
from compressor.errors import PlanError
from compressor.factories.small_images import resnet, vgg
from compressor.quantize import capture

GREY = (torch.randn(2, 1, 28, 28),)
COLOUR = (torch.randn(2, 3, SIZE, SIZE),)


def test_stages_of_a_family_are_paired() -> None:
    student, teacher = resnet(width=8, layers=(1, 1, 1, 1)), resnet(width=16)
    pairs = auto_pairs(student, teacher, GREY, GREY)
    assert [(pair.student, pair.teacher) for pair in pairs] == [
        ("stages.0", "stages.0"),
        ("stages.1", "stages.1"),
        ("stages.2", "stages.2"),
        ("stages", "stages"),
    ]
    assert pairs[-1].student_shape == (64, 4, 4) and pairs[-1].teacher_shape == (128, 4, 4)
    assert str(pairs[0]) == "stages.0 (8x28x28) <- stages.0 (16x28x28)"


def test_other_families_meet_at_their_resolutions() -> None:
    pairs = auto_pairs(vgg(width=8), resnet(width=16), GREY, GREY)
    assert [pair.teacher for pair in pairs] == ["stages.0", "stages.1", "stages.2", "stages"]
    assert all(pair.student_shape[1:] == pair.teacher_shape[1:] for pair in pairs)


def test_where_resolutions_differ_the_outputs_are_matched_backwards() -> None:
    pairs = auto_pairs(mobilenet_v2(), resnet18(), COLOUR, COLOUR)
    assert len(pairs) >= 2
    assert pairs[-1].teacher == "layer3" and pairs[-1].student.startswith("features.")


def test_a_graph_is_paired_as_its_module_is() -> None:
    student, teacher = resnet(width=8, layers=(1, 1)).eval(), resnet(width=16, layers=(2, 2))
    graph = capture(student, GREY)
    assert auto_pairs(graph, teacher, GREY, GREY) == auto_pairs(student, teacher, GREY, GREY)


def test_without_feature_maps_layers_must_be_named() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10))
    with pytest.raises(PlanError, match="the student has none"):
        auto_pairs(plain, resnet(width=8), GREY, GREY)
    (pair,) = named_pairs(plain, plain, (("1", "3"),), GREY, GREY)
    assert (pair.student_shape, pair.teacher_shape) == ((8,), (10,))


def layers_of(student: int, teacher: int, kind: str = "bert", attention: bool = False) -> list[tuple[str, str]]:
    """The numbers of paired layers; what isn't numbered by its name."""
    names = ("num_hidden_layers", *(["n_layers"] if kind == "distilbert" else []))
    ours, theirs = (small_texts.encoder(kind, **dict.fromkeys(names, count)) for count in (student, teacher))
    inputs = small_texts.inputs_of(theirs)
    pairs = encoder_pairs(ours.module, theirs.module, inputs, inputs, attention)

    def number(path: str) -> str:
        return next((part for part in path.split(".") if part.isdigit()), path.rpartition(".")[2])

    return [(number(pair.student), number(pair.teacher)) for pair in pairs]


def test_encoders_are_paired_as_tinybert_pairs_them() -> None:
    # The m-th of M learns from the m*N/M-th of N, counted from 1.
    assert layers_of(2, 6) == [("embeddings", "embeddings"), ("0", "2"), ("1", "5")]
    assert layers_of(3, 4) == [("embeddings", "embeddings"), ("0", "0"), ("1", "1"), ("2", "3")]
    assert layers_of(2, 6, attention=True) == [("0", "2"), ("1", "5")]
    assert layers_of(1, 1, attention=True) == [("0", "0")]


@pytest.mark.parametrize("kind", ["distilbert", "roberta", "electra", "mpnet", "deberta-v2"])
def test_every_encoder_has_layers_to_pair(kind: str) -> None:
    assert layers_of(2, 4, kind) == [("embeddings", "embeddings"), ("0", "1"), ("1", "3")]
    assert layers_of(2, 4, kind, attention=True) == [("0", "1"), ("1", "3")]


def test_pairs_have_shapes_for_each_token() -> None:
    model = small_texts.encoder("bert")
    inputs = small_texts.inputs_of(model)
    tokens = inputs[0].shape[1]
    pairs = encoder_pairs(model.module, model.module, inputs, inputs, attention=False)
    assert {pair.student_shape for pair in pairs} == {(tokens, 32)}
    attention = encoder_pairs(model.module, model.module, inputs, inputs, attention=True)
    assert {pair.teacher_shape for pair in attention} == {(4, tokens, tokens)}


@pytest.mark.parametrize("attention", [False, True])
def test_a_graph_of_an_encoder_is_paired_as_its_module_is(attention: bool) -> None:
    student, teacher = small_texts.encoder("bert", num_hidden_layers=1), small_texts.encoder("bert")
    inputs = small_texts.inputs_of(teacher)
    graph = capture(student.module, inputs, 64)
    found, wanted = (
        encoder_pairs(network, teacher.module, inputs, inputs, attention) for network in (graph, student.module)
    )
    assert found == wanted


def test_networks_without_layers_to_pair() -> None:
    model = small_texts.encoder("bert")
    inputs = small_texts.inputs_of(model)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(784, 8))
    with pytest.raises(PlanError, match="no encoder layers to pair in the student"):
        encoder_pairs(plain, model.module, GREY, inputs, attention=False)
    with pytest.raises(PlanError, match="no encoder layers to pair in the teacher"):
        encoder_pairs(model.module, plain, inputs, GREY, attention=True)
