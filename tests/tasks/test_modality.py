"""Every kind of input keeps what ``Modality`` promises; a new one without a row fails."""

import functools
import subprocess
from pathlib import Path

import digits
import pytest
import small_texts
import torch

import compressor.export
from compressor.data import Data, TensorSplit
from compressor.errors import InputError
from compressor.tasks import Task, make_task, modalities, modality_of, task_classes

KIT = Path(compressor.export.__file__).parent / "kit"
ROOT = Path(__file__).parents[2]


@functools.cache
def images() -> tuple[Task, Data]:
    return make_task("image-classification"), digits.digits_data()


@functools.cache
def texts() -> tuple[Task, Data]:
    return make_task("text-classification"), small_texts.sentence_data(small_texts.encoder())


@functools.cache
def signals() -> tuple[Task, Data]:
    waves = torch.randn(40, 2, 32, generator=torch.Generator().manual_seed(0))
    split = TensorSplit(waves, torch.arange(40) % 2)
    return make_task("signal-classification"), Data("waves", split, split, split, ("a", "b"), "fingerprint")


# By name, a task of it and data as its networks see it.
ROWS = {"images": images, "texts": texts, "signals": signals}


def test_every_kind_of_input_has_a_row() -> None:
    assert set(ROWS) == set(modalities())


def test_every_task_names_its_kind_of_input() -> None:
    for name, kind in task_classes().items():
        assert modality_of(name) is kind.modality is modalities()[kind.modality.name]
        assert make_task(name).name == name
    with pytest.raises(InputError, match="did you mean 'text-classification'"):
        modality_of("text-clasification")


@pytest.mark.parametrize("name", ROWS)
def test_what_a_network_expects_is_what_it_is_called_with(name: str) -> None:
    task, data = ROWS[name]()
    inputs = task.example_inputs(data, 3)
    specs = task.modality.specs(inputs, data)
    assert task.input_specs(data) == specs and len(specs) == len(inputs)
    for spec, given in zip(specs, inputs, strict=True):
        assert str(given.dtype) == f"torch.{spec.dtype}" and given.dim() == len(spec.shape) + 1
        assert all(side in (-1, own) for side, own in zip(spec.shape, given.shape[1:], strict=True))
    assert (-1 not in specs[0].shape) == task.modality.one_size


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("size", [1, 4, 10_000])
def test_latency_is_taken_with_samples_of_the_test_split(name: str, size: int) -> None:
    task, data = ROWS[name]()
    for places in task.modality.timed(data, size):
        assert 0 < len(places) <= size and places.min() >= 0 and places.max() < len(data.test)
    assert bool(task.modality.timed(data, size)) != task.modality.one_size


@pytest.mark.parametrize("name", ROWS)
def test_pieces_are_inputs_without_labels(name: str) -> None:
    task, data = ROWS[name]()
    assert task.modality.pieces(data, 0, seed=0).fingerprint == data.fingerprint
    more = task.modality.pieces(data, 2, seed=0)
    assert more.unlabeled - data.unlabeled == (2 * len(data.train) if task.modality.has_pieces else 0)
    assert torch.equal(more.test.labels, data.test.labels)


@pytest.mark.parametrize("name", ROWS)
def test_the_same_data_may_be_compared_position_by_position(name: str) -> None:
    task, data = ROWS[name]()
    task.modality.check_same(data, data)


@pytest.mark.parametrize("name", ROWS)
def test_sizes_and_scripts(name: str) -> None:
    task, data = ROWS[name]()
    modality = task.modality
    longest = modality.longest(data)
    assert longest is None or longest >= max(inputs.shape[1] for inputs in task.example_inputs(data, 8))
    assert modality.evaluation_batch > 0 and modality.scoring_batch > 0
    assert (KIT / modality.script).is_file()


def test_nothing_outside_asks_whether_samples_are_texts() -> None:
    """Whoever needs to know asks the modality for what follows from it."""
    asked = r"\.has_lengths|info\.tokenizer is"
    command = ["git", "grep", "-lE", asked, "--", "compressor"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    # The data's own affair, and what a folder is written to.
    assert [path for path in listed if not path.startswith(("compressor/data/", "compressor/export/"))] == []
