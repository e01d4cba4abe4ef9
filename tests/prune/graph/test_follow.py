"""Every kind of coupling: something goes, the right channels go, the network trains on, and a fresh one takes it."""

import json

import channel_kinds
import pytest
import torch
from torch import Tensor, nn

from compressor.errors import PlanError
from compressor.prune import PruneReport, prune_channels
from compressor.prune.graph import follow
from compressor.prune.graph.cut import blanked
from compressor.prune.graph.groups import Ranking, groups_of
from compressor.prune.graph.tracing import traced
from compressor.structure import apply_shapes, manifest_of

IMAGES = (torch.randn(2, 3, channel_kinds.SIZE, channel_kinds.SIZE, generator=torch.Generator().manual_seed(1)),)


def pruned(kind: str) -> tuple[nn.Module, PruneReport]:
    module = channel_kinds.made(kind)
    return module, prune_channels(module, IMAGES, 0.5, round_to=4)


@pytest.mark.parametrize("kind", channel_kinds.KINDS)
def test_something_goes_and_the_rest_runs_trains_and_is_rebuilt(kind: str) -> None:
    whole = sum(p.numel() for p in channel_kinds.made(kind).parameters())
    module, report = pruned(kind)
    assert report.removed and sum(p.numel() for p in module.parameters()) < 0.8 * whole
    for count in (1, 3):
        assert module(torch.randn(count, *IMAGES[0].shape[1:])).shape == (count, 5)
    module.train()(*IMAGES).sum().backward()
    fresh = apply_shapes(channel_kinds.KINDS[kind](), json.loads(json.dumps(manifest_of(module))))
    fresh.load_state_dict(module.state_dict(), strict=True)
    assert torch.equal(fresh.eval()(*IMAGES), module.eval()(*IMAGES))


@pytest.mark.parametrize("kind", sorted(channel_kinds.KINDS.keys() - {"Windows", "NonLocal"}))
def test_what_goes_is_what_could_as_well_be_zero(kind: str) -> None:
    """Not for a norm over channels, nor for a softmax over products with fewer of them: there numbers change."""
    module = channel_kinds.made(kind)
    trace = traced(module, IMAGES)
    found = follow.Followed(trace)
    other = channel_kinds.made(kind)
    gone = follow.cut_to(
        module, IMAGES, found, Ranking(module, trace, "magnitude", 0), ratio=0.5, scope="local", round_to=4
    )
    assert gone.any()
    gone = gone[trace.labels.roots(torch.arange(len(gone)).numpy())]
    blanked(other, trace, gone)
    with torch.no_grad():
        assert torch.allclose(module(*IMAGES), other(*IMAGES), atol=1e-4)


def test_a_number_in_the_code_keeps_its_channels_and_says_where_it_stands() -> None:
    module, report = pruned("Flattened")
    assert report.removed == {"one": 16, "wide": 16}
    assert "view" in report.kept["two"] and "channel_kinds.py:" in report.kept["two"]
    module, report = pruned("Said")
    assert report.removed == {"one": 16, "two": 8, "wide": 16}
    assert module.config == {"flat": 128}


def test_values_that_would_be_others_keep_their_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that carried labels wrongly would give right shapes: the values show it."""
    from compressor.prune.graph import pieces, rules

    def swapped(call: object) -> object:
        axes = pieces.RULES["cat"](call)
        (found,) = axes or []
        return [(found[0], found[1][::-1].copy(), *found[2:])]

    monkeypatch.setitem(rules.RULES, "cat", swapped)
    module, report = pruned("Chunked")
    assert "gives other values" in " ".join(report.kept.values())
    assert module(*IMAGES).shape == (2, 5)


def test_another_forward_at_every_call_is_refused() -> None:
    class Moody(channel_kinds.Flattened):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Moody.calls += 1
            for _ in range(Moody.calls):
                x = x + 1
            return super().forward(x)

    with pytest.raises(PlanError, match="not alike from one to the next"):
        prune_channels(Moody(), IMAGES, 0.5)


def test_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 16), nn.Linear(6, 16)
            self.head = nn.Linear(32, 3)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            logits: Tensor = self.head(torch.cat([self.one(a), self.two(b).relu()], 1))
            return logits

    module = Two()
    report = prune_channels(module, (torch.randn(2, 4), torch.randn(2, 6)), 0.5)
    assert report.removed == {"one": 8, "two": 8} and module.head.in_features == 16


def test_weights_that_are_standardised() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = nn.functional.batch_norm(self.weight.reshape(1, len(self.weight), -1), None, None, training=True)
            return nn.functional.conv2d(x, weight.reshape_as(self.weight), self.bias)

    module = nn.Sequential(Standardised(3, 16, 3), nn.ReLU(), Standardised(16, 16, 3), nn.Flatten(), nn.Linear(256, 2))
    assert prune_channels(module, IMAGES, 0.5).removed == {"0": 8, "2": 8}


def test_groups_of_nothing() -> None:
    module = nn.Linear(3, 4)
    assert groups_of(traced(module, (torch.randn(2, 3),))) == []
