"""What a network's file says of its inputs and classes, against the data."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import small
import torch

from compressor.context import Teacher
from compressor.data import Data, TensorSplit
from compressor.errors import DataError, InputError, PlanError
from compressor.factories import build, parse_factory
from compressor.models import InputSpec, TorchModel
from compressor.pipeline import Job
from compressor.pipeline.job import prepared
from compressor.pipeline.rehearsal import rehearse

MakeJob = Callable[..., Job]
ORDER = [3, 0, 1, 2, 9, 8, 7, 6, 5, 4]


def saying(model: TorchModel, **what: Any) -> TorchModel:
    """A model whose file says something else."""
    return replace(model, info=model.info.model_copy(update={"source": "net.pt", **what}))


def floats() -> Data:
    """The digits as finished floats."""
    data = small.small_data()
    split = TensorSplit(data.batch("train", torch.arange(64)).inputs[0], data.train.labels[:64])
    return replace(data, train=split, validation=split, test=split, normalise=None)


def with_outputs(count: int) -> TorchModel:
    """A network of as many outputs."""
    model = small.small_model()
    factory = parse_factory(small.FACTORY, {**small.ARGUMENTS, "num_classes": count})
    return saying(replace(model, module=build(factory).eval()), classes=(), factory=factory)


def test_a_perfect_network_that_names_its_classes_in_another_order_stays_perfect(make_job: MakeJob) -> None:
    job = make_job(model=saying(small.small_model(), classes=tuple(map(str, ORDER))))
    ready = prepared(job)
    assert ready.data.classes == ready.model.info.classes
    assert [ORDER[label] for label in ready.data.test.labels.tolist()] == job.data.test.labels.tolist()


def test_classes_that_can_not_be_mapped_are_refused(make_job: MakeJob) -> None:
    names = ("ant", "bee", *map(str, range(8)))
    for job in (
        make_job(model=saying(small.small_model(), classes=names)),
        make_job(teachers=(Teacher(saying(small.small_model(), classes=names)),)),
        make_job(student=saying(small.small_model(), classes=names)),
    ):
        with pytest.raises(DataError, match=r"net\.pt has 10 classes \(ant, bee, .* none of the former is '8'"):
            prepared(job)


def test_a_teacher_may_know_more_classes_and_in_another_order(make_job: MakeJob) -> None:
    teacher = saying(with_outputs(12), classes=("ant", *map(str, ORDER), "bee"))
    rehearse(prepared(make_job(teachers=(Teacher(teacher),))))


def test_a_teacher_of_another_number_of_outputs_is_refused(make_job: MakeJob) -> None:
    with pytest.raises(PlanError, match=r"net\.pt gives 12 outputs, the network that it is to teach 10"):
        rehearse(prepared(make_job(teachers=(Teacher(with_outputs(12)),))))


def test_a_student_of_another_order_is_refused(make_job: MakeJob) -> None:
    with pytest.raises(InputError, match=r"--student net\.pt has its classes in another order"):
        prepared(make_job(student=saying(small.small_model(), classes=tuple(map(str, ORDER)))))


def test_another_shape_is_refused_whoever_says_it(make_job: MakeJob) -> None:
    model = small.small_model()
    large = (model.info.inputs[0].model_copy(update={"shape": (3, 32, 32)}),)
    for job in (
        make_job(model=saying(model, inputs=large)),
        make_job(teachers=(Teacher(saying(model, inputs=large)),)),
        make_job(student=saying(model, inputs=large)),
    ):
        with pytest.raises(DataError, match=r"net\.pt takes samples of shape \(3, 32, 32\), 'digits' has \(1, 8, 8\)"):
            prepared(job)


def test_finished_floats_can_not_be_shown_to_a_teacher_of_another_normalisation(make_job: MakeJob) -> None:
    own = (InputSpec(shape=(1, 8, 8), mean=(0.9,), std=(0.1,)),)
    with pytest.raises(DataError, match=r"net\.pt was made for images normalised by mean 0.9 and std 0.1"):
        prepared(make_job(data=floats(), teachers=(Teacher(saying(small.small_model(), inputs=own)),)))
    notes = prepared(make_job(data=floats(), model=saying(small.small_model(), inputs=own))).data.notes
    assert any("are taken to be normalised by mean 0.9 and std 0.1, as net.pt was made for" in note for note in notes)


def test_outputs_beyond_the_classes_are_said(make_job: MakeJob) -> None:
    notes = prepared(make_job(model=with_outputs(12))).data.notes
    assert any("the network has 12 outputs and 'digits' 10 classes" in note for note in notes)
    assert not any("outputs" in note for note in prepared(make_job()).data.notes)


def test_a_network_that_was_never_trained_is_refused(make_job: MakeJob) -> None:
    with pytest.raises(InputError, match=r"net\.pt has no weights for head"):
        prepared(make_job(model=saying(small.small_model(), untrained=("head",))))
