"""Layers found by resolution, in networks of other widths, depths and families, and in graphs."""

import pytest
import torch
from nets import SIZE, mobilenet_v2, resnet18
from torch import nn

from compressor.distill.pairing import auto_pairs, named_pairs
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
