"""Two files that write what the network writes, from the first token on."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from small_sequences import ENDS, network_of, sources

from compressor.export.sequence_graphs import export_sequence
from compressor.factories.sequence_network import SequenceNetwork
from compressor.runners.search import beam_search, greedy
from compressor.runners.sequences import OnnxDecoder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return export_sequence(network_of(), tmp_path_factory.mktemp("sequence"))


def greedy_in_torch(network: SequenceNetwork, source: torch.Tensor, mask: torch.Tensor) -> tuple[int, ...]:
    """Without any cache: all is read again for each token."""
    target = torch.tensor([[ENDS.start]])
    for _ in range(ENDS.limit):
        with torch.no_grad():
            token = network(source[None], mask[None], target)[0, -1].argmax()
        if int(token) == ENDS.end:
            break
        target = torch.cat([target, token.view(1, 1)], dim=1)
    return tuple(target[0, 1:].tolist())


@pytest.mark.parametrize("longest", [1, 2, 9, 20])
def test_greedy_writes_what_torch_writes(files: tuple[Path, Path], longest: int) -> None:
    source, mask = sources(30, longest)
    with OnnxDecoder(*files) as decoder:
        answers = greedy(decoder, (source.numpy(), mask.numpy()), ENDS)
    wanted = [greedy_in_torch(network_of(), *one) for one in zip(source, mask, strict=True)]
    assert [one.tokens for one in answers] == wanted
    assert len(set(wanted)) > (1 if longest > 1 else 0)


def test_a_beam_is_no_less_likely_than_greedy(files: tuple[Path, Path]) -> None:
    inputs = tuple(tensor.numpy() for tensor in sources(30, 9))
    with OnnxDecoder(*files) as decoder:
        alone = greedy(decoder, inputs, ENDS)
        beams = beam_search(decoder, inputs, ENDS, beams=4, length_penalty=0)
    both = [(one, best) for one, (best, *_) in zip(alone, beams, strict=True) if one.is_whole and best.is_whole]
    assert len(both) > 5
    assert np.mean([best.score >= one.score - 1e-4 for one, best in both]) > 0.9


def test_both_are_whole_files_of_what_they_say(files: tuple[Path, Path]) -> None:
    encoder, decoder = (onnx.load(path).graph for path in files)
    layers = [f"{place}.{part}" for place in range(2) for part in ("key", "value")]
    assert [one.name for one in encoder.output] == [f"cross.{name}" for name in layers]
    assert [one.name for one in decoder.output] == ["logits", *(f"present.{name}" for name in layers)]
    # Of the cross attention only the queries are left in what runs once a token.
    names = {one.name for one in decoder.initializer}
    assert not [name for name in names if "cross.key" in name or "cross.value" in name]
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["decoder.onnx", "encoder.onnx"]
