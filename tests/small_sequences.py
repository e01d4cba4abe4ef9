"""A small encoder-decoder and sources for it."""

import torch

from compressor.factories.sequence_network import SequenceNetwork, transformer
from compressor.runners.search import Ends

SIZE = 12
ENDS = Ends(start=1, end=2, limit=14)


def network_of(decoder_layers: int = 2) -> SequenceNetwork:
    """Untrained, and of an opinion all the same."""
    torch.manual_seed(0)
    network = transformer(
        SIZE, SIZE, width=16, encoder_layers=2, decoder_layers=decoder_layers, head_size=8, tied=False
    )
    network.get_submodule("answers").weight.data *= 6
    assert isinstance(network, SequenceNetwork)
    return network.eval()


def sources(count: int, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and mask, of lengths from 1 on."""
    generator = torch.Generator().manual_seed(longest)
    lengths = torch.randint(1, longest + 1, (count, 1), generator=generator)
    mask = (torch.arange(longest) < lengths).long()
    return torch.randint(3, SIZE, (count, longest), generator=generator) * mask, mask
