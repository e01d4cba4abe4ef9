"""Two files of one export, or a refusal."""

from pathlib import Path

import numpy as np
import pytest
from small_sequences import ENDS, network_of, sources

from compressor.errors import ModelFileError
from compressor.export.sequence_graphs import export_sequence
from compressor.runners.search import greedy
from compressor.runners.sequences import OnnxDecoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sequence")
    export_sequence(network_of(), made / "two")
    export_sequence(network_of(decoder_layers=1), made / "one")
    return made


def test_a_state_goes_on_in_another_order(folder: Path) -> None:
    inputs = tuple(tensor.numpy() for tensor in sources(5, 7))
    rows = np.array([4, 0, 0])
    with OnnxDecoder(folder / "two/encoder.onnx", folder / "two/decoder.onnx") as decoder:
        state = decoder.step(np.arange(5), decoder.start(inputs))[1]
        found, after = decoder.step(rows + 1, decoder.pick(state, rows))
        wanted, _ = decoder.step(np.array([1, 9, 9, 9, 5]), state)
        assert after["past.1.key"].shape == (3, 2, 2, 8)
    np.testing.assert_allclose(found[:2], wanted[[4, 0]], atol=1e-5)


def test_files_of_two_networks_are_refused(folder: Path) -> None:
    with (
        pytest.raises(ModelFileError, match=r"takes cross\.0\.key, cross\.0\.value\n"),
        OnnxDecoder(folder / "two/encoder.onnx", folder / "one/decoder.onnx"),
    ):
        pass


def test_a_file_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(ModelFileError, match="no ONNX file at"),
        OnnxDecoder(folder / "two/encoder.onnx", tmp_path / "decoder.onnx"),
    ):
        pass


def test_outside_of_its_block_it_says_so(folder: Path) -> None:
    decoder = OnnxDecoder(folder / "two/encoder.onnx", folder / "two/decoder.onnx")
    with pytest.raises(AssertionError, match="outside of its 'with' block"):
        greedy(decoder, tuple(tensor.numpy() for tensor in sources(2, 3)), ENDS)
