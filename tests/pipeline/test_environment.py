"""The report says what it ran on."""

import torch

from compressor.pipeline.environment import describe_environment


def test_versions_and_threads() -> None:
    described = describe_environment("cpu")
    assert described["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert described["threads"] == torch.get_num_threads()
    assert described["device"] == "cpu"
    assert described["cpu"]["model"]
