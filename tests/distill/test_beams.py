"""A teacher writes each sequence once, whatever happens in between."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from small_sequences import ENDS, network_of, sources

from compressor.distill.beams import Beams, fill, likeliest, nearest
from compressor.export.sequence_graphs import export_sequence
from compressor.runners.protocol import Arrays
from compressor.runners.search import Answer, beam_search
from compressor.runners.sequences import OnnxDecoder

COUNT = 60
# Fills a file from another's networks, slowly, until it is killed.
SLOWLY = """
import sys, time
from pathlib import Path
import test_beams
test_beams.filled(Path(sys.argv[1]), done=lambda written, count: (print(written, flush=True), time.sleep(0.2)))
"""


def inputs_of(indices: torch.Tensor) -> Arrays:
    return tuple(tensor[indices].numpy() for tensor in sources(COUNT, 8))


def filled(folder: Path, **more: object) -> tuple[Beams, int]:
    beams = Beams(folder / "teacher-beams-1.npy", COUNT, beams=3, limit=ENDS.limit)
    with OnnxDecoder(folder / "encoder.onnx", folder / "decoder.onnx") as decoder:
        lengths = sources(COUNT, 8)[1].sum(dim=1)
        return beams, fill(beams, decoder, inputs_of, lengths, ENDS, batch_size=4, **more)  # type: ignore[arg-type]


def test_a_killed_one_goes_on_and_a_second_asks_nothing(tmp_path: Path) -> None:
    export_sequence(network_of(), tmp_path)
    places = f"{Path(__file__).parent}{os.pathsep}{Path(__file__).parents[1]}"
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{places}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 12:
                break
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    beams, asked = filled(tmp_path)
    # What was written stays; at most one batch was under way.
    assert COUNT - 20 <= asked <= COUNT - 12
    assert filled(tmp_path)[1] == 0
    with OnnxDecoder(tmp_path / "encoder.onnx", tmp_path / "decoder.onnx") as decoder:
        whole = beam_search(decoder, inputs_of(torch.arange(COUNT)), ENDS, beams=3)
    for index, answers in enumerate(whole):
        assert [one.tokens for one in beams.answers(index)] == [one.tokens for one in answers if one.is_whole]
        np.testing.assert_allclose(
            [one.score for one in beams.answers(index)], [one.score for one in answers if one.is_whole], rtol=1e-4
        )


def test_what_the_limit_cut_is_no_answer(tmp_path: Path) -> None:
    beams = Beams(tmp_path / "teacher-beams-1.npy", 3, beams=2, limit=4)
    cut, empty = Answer((5, 6, 7, 8), False, -1.0), Answer((), True, -2.0)
    beams.write(torch.tensor([2, 0]), [[cut], [empty, cut]])
    assert beams.missing.tolist() == [1]
    assert beams.answers(2) == [] and beams.answers(0) == [empty]
    assert likeliest(beams.answers(2)) is None and nearest(beams.answers(2), [[1]]) is None


def test_the_nearest_to_any_label_is_taken_and_of_equals_the_likelier() -> None:
    answers = [Answer(tokens, True, 0.0) for tokens in ((4, 5, 6), (4, 5), (14, 5), (9, 9, 9, 9))]
    assert likeliest(answers) == (4, 5, 6)
    assert nearest(answers, [[4, 5]]) == (4, 5)
    assert nearest(answers, [[4, 7, 8], [9, 9, 9]]) == (9, 9, 9, 9)
    assert nearest(answers, [[14]]) == (14, 5)
    assert nearest(answers, [[30, 31]]) == (4, 5)
