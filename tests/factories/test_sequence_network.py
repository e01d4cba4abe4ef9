"""An encoder-decoder whose decoder goes on step by step as it answers all at once."""

import pytest
import torch
from torch import nn

from compressor.factories import build, parse_factory
from compressor.factories.sequence_network import SequenceNetwork

NAME = "compressor.factories.sequence_network:transformer"
SIZES = {"source_size": 9, "target_size": 11, "width": 16, "encoder_layers": 2, "decoder_layers": 2, "head_size": 8}


@pytest.fixture
def network() -> SequenceNetwork:
    torch.manual_seed(0)
    made = build(parse_factory(NAME, SIZES)).eval()
    assert isinstance(made, SequenceNetwork)
    return made


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(9, (3, 6), generator=generator)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] + [0] * 5])
    return source, mask, torch.randint(11, (3, 5), generator=generator)


@pytest.mark.parametrize("cuts", [(1, 1, 1, 1, 1), (2, 3), (4, 1)])
def test_steps_answer_as_the_whole_does(network: SequenceNetwork, cuts: tuple[int, ...]) -> None:
    source, mask, target = batch()
    with torch.no_grad():
        whole = network(source, mask, target)
        past, cross, steps = network.nothing_yet(3), network.encode(source, mask), []
        for tokens in target.split(cuts, dim=1):
            logits, past = network.decode(tokens, mask, cross, past)
            steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)


def test_padding_and_later_tokens_change_nothing(network: SequenceNetwork) -> None:
    source, mask, target = batch()
    with torch.no_grad():
        whole = network(source, mask, target)
        # Of the second sample the padding, of all the last token.
        other = network(torch.where(mask == 1, source, 8 - source), mask, target)
        shorter = network(source[1:2, :4], mask[1:2, :4], target[1:2, :3])
        later = network(source, mask, torch.cat([target[:, :4], 10 - target[:, 4:]], dim=1))
    assert torch.equal(whole, other) and torch.equal(whole[:, :4], later[:, :4])
    torch.testing.assert_close(shorter, whole[1:2, :3])


def test_padding_has_no_gradient(network: SequenceNetwork) -> None:
    source, mask, target = batch()
    # A token that is nowhere but in the padding.
    network(torch.where(mask == 1, source.clamp(max=7), 8), mask, target).logsumexp(-1).sum().backward()
    rows = network.source.weight.grad
    assert rows is not None and not rows[8].any() and rows[:8].any()


def test_one_table_embeds_and_scores(network: SequenceNetwork) -> None:
    assert network.answers.weight is network.target.weight
    apart = build(parse_factory(NAME, {**SIZES, "tied": False}))
    count = sum(p.numel() for p in apart.parameters()) - sum(p.numel() for p in network.parameters())
    assert count == 11 * 16


def test_fewer_heads_are_a_narrower_projection(network: SequenceNetwork) -> None:
    attention = network.decoder[0].get_submodule("attention")
    for name in ("query", "key", "value"):
        linear = attention.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        linear.weight, linear.bias = nn.Parameter(linear.weight[:8].detach()), nn.Parameter(linear.bias[:8].detach())
    out = attention.get_submodule("out")
    assert isinstance(out, nn.Linear)
    out.weight = nn.Parameter(out.weight[:, :8].detach())
    assert [tuple(part.shape) for part in network.nothing_yet(3)[:3:2]] == [(3, 1, 0, 8), (3, 2, 0, 8)]
    assert network(*batch()).shape == (3, 5, 11)
