import pytest
from torch import nn

from compressor.export.prefer import needs_int8, verdict, wins
from compressor.target import Budget


@pytest.mark.parametrize(
    ("fp32_ms", "int8_ms", "said"),
    [(0.4, 0.2, "2.00 times faster"), (0.2, 0.4, "SLOWER"), (0.2, 0.205, "as fast"), (0.205, 0.2, "as fast")],
)
def test_the_verdict_is_honest(fp32_ms: float, int8_ms: float, said: str) -> None:
    assert said in verdict(fp32_ms, int8_ms, 4000, 1000)
    assert wins(int8_ms, fp32_ms) == ("faster" in said)


@pytest.mark.parametrize(
    ("budget", "needed"),
    [
        (Budget(), False),
        (Budget(size_mb=0.002), True),
        (Budget(size_mb=0.005), False),
        # int8 misses it too: no reason to be slower.
        (Budget(size_mb=0.0005), False),
        (Budget(size=0.5), True),
        (Budget(size=1.0), False),
    ],
)
def test_a_budget_of_size_may_need_int8(budget: Budget, needed: bool) -> None:
    """A reference of 1,000 parameters, 4,000 bytes; its float file has 4,000, int8 1,000."""
    assert bool(needs_int8(budget, 4000, 1000, nn.Linear(100, 10, bias=False))) == needed
