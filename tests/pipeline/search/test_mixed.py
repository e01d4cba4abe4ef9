"""Which layers have weights of 4 bits."""

from compressor.pipeline.search.mixed import within
from compressor.quantize.narrowing import Narrowed

LAYERS = [Narrowed("large", 700, 0.001), Narrowed("middle", 200, 0.002), Narrowed("small", 100, 0.5)]


def test_the_first_that_save_so_much() -> None:
    assert within(LAYERS, 1.0) == ("large", "middle", "small")
    assert within(LAYERS, 0.9) == ("large", "middle")
    assert within(LAYERS, 0.8) == ("large", "middle")
    assert within(LAYERS, 0.5) == ("large",)
    assert within([], 0.5) == ()
