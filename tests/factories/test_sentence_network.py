"""Pooling against a loop over texts, and lengths of 1."""

import pytest
import torch
from torch import Tensor, nn

from compressor.errors import InputError
from compressor.factories.sentence_network import SentenceNetwork


class States(nn.Module):
    """Gives each token its row of a table, and has a pooler, as the library's encoders do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(9, 4)
        self.pooler: nn.Module | None = nn.Linear(4, 4)

    def forward(self, input_ids: Tensor, **rest: object) -> object:
        self.rest = rest
        return type("Output", (), {"last_hidden_state": self.table(input_ids)})


IDS = torch.tensor([[1, 2, 3], [4, 5, 8], [6, 8, 8]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]])


def test_the_mean_is_over_real_tokens() -> None:
    network = SentenceNetwork(States())
    found = network(IDS, MASK)
    for row, (ids, count) in enumerate(zip(IDS, (3, 2, 1), strict=True)):
        mean = network.network.table.weight[ids[:count]].mean(dim=0)
        torch.testing.assert_close(found[row], mean / mean.norm())
    assert set(network.network.rest) == {"attention_mask", "return_dict"}


def test_the_first_token_may_stand_for_the_text() -> None:
    network = SentenceNetwork(States(), "cls")
    first = network.network.table.weight[IDS[:, 0]]
    torch.testing.assert_close(network(IDS, MASK, torch.zeros_like(IDS)), first / first.norm(dim=1, keepdim=True))
    assert "token_type_ids" in network.network.rest


def test_a_text_of_padding_alone_is_no_fault() -> None:
    assert bool(SentenceNetwork(States())(IDS, torch.zeros_like(MASK)).isfinite().all())


def test_in_half_precision_long_texts_stay_finite() -> None:
    network = SentenceNetwork(States()).half()
    with torch.no_grad():
        network.network.table.weight.mul_(5)
        found = network(IDS.repeat(1, 200), MASK.repeat(1, 200))
    torch.testing.assert_close(found.float().norm(dim=1), torch.ones(3), rtol=1e-2, atol=1e-2)


def test_what_is_not_read_is_taken_out() -> None:
    assert [name for name, _ in SentenceNetwork(States()).named_parameters()] == ["network.table.weight"]


def test_no_such_pooling() -> None:
    with pytest.raises(InputError, match="no pooling 'max'") as refused:
        SentenceNetwork(States(), "max")  # type: ignore[arg-type]
    assert "mean, cls" in str(refused.value.hint)
