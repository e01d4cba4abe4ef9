"""Which axes are free, for images and for token ids."""

import pytest
import torch
from torch import nn

from compressor.axes import dynamic_axes, is_text

IMAGES = (torch.zeros(2, 3, 8, 8),)
IDS = (torch.zeros(2, 5, dtype=torch.int64), torch.ones(2, 5, dtype=torch.int64))


class Sum(nn.Module):
    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (ids * mask).sum(1)


def test_token_ids_are_integers_with_two_axes() -> None:
    assert is_text(IDS)
    assert not is_text(IMAGES)
    assert not is_text((torch.zeros(2, 5),))
    assert not is_text((IDS[0], torch.zeros(2, 5, 5, dtype=torch.int64)))


def test_images_have_a_free_batch_alone() -> None:
    (axes,) = dynamic_axes(IMAGES)
    assert list(axes) == [0]


def test_texts_of_any_length_up_to_the_longest_go_through_one_graph() -> None:
    graph = torch.export.export(Sum(), IDS, dynamic_shapes=dynamic_axes(IDS, 16)).module()
    for batch, length in ((1, 2), (1, 16), (3, 7)):
        ids = torch.randint(0, 9, (batch, length))
        assert torch.equal(graph(ids, torch.ones_like(ids)), ids.sum(1))
    with pytest.raises(AssertionError, match="16"):
        graph(torch.zeros(1, 17, dtype=torch.int64), torch.ones(1, 17, dtype=torch.int64))
