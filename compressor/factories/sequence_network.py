"""An encoder-decoder transformer for sequences of symbols, with a decoder that goes on from what it has seen."""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Two tensors a layer, (N, heads, positions, head_size): all keys, all values.
Cache = tuple[Tensor, ...]


class Attention(nn.Module):
    """Scaled dot-product attention of several heads (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    How many heads there are follows from the projections' width, so that a narrower one is a network with fewer.
    """

    def __init__(self, width: int, head_size: int) -> None:
        super().__init__()
        self.head_size: int = head_size
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def remembered(self, states: Tensor) -> Cache:
        """Keys and values of states (N, positions, width), each (N, heads, positions, head_size)."""
        return self._split(self.key(states)), self._split(self.value(states))

    def forward(self, states: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
        """What states (N, queries, width) attend to, of the same shape.

        Args:
            states: Who asks.
            keys: From ``remembered``.
            values: From ``remembered``.
            hidden: Added to the products, broadcast to (N, heads, queries, positions): very low where nothing is seen.
        """
        query = self._split(self.query(states)) * self.head_size**-0.5
        weights = (query @ keys.transpose(2, 3) + hidden).softmax(dim=-1)
        out: Tensor = self.out((weights @ values).transpose(1, 2).flatten(2))
        return out

    def _split(self, states: Tensor) -> Tensor:
        split: Tensor = states.unflatten(2, (-1, self.head_size)).transpose(1, 2)
        return split

    @property
    def heads(self) -> int:
        """As many as the projections have room for."""
        return self.key.weight.shape[0] // self.head_size


class FeedForward(nn.Module):
    """Two linear layers with ReLU between, on each position."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)

    def forward(self, states: Tensor) -> Tensor:
        """(N, positions, width) to the same."""
        out: Tensor = self.out(functional.relu(self.inner(states)))
        return out


class EncoderLayer(nn.Module):
    """Attention to all positions and a feed-forward, each after a norm (Xiong et al. 2020, arXiv:2002.04745)."""

    def __init__(self, width: int, inner: int, head_size: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, head_size)
        self.feed_forward = FeedForward(width, inner)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        """(N, positions, width) to the same; ``hidden`` as ``Attention`` has it."""
        normed = self.norm1(states)
        states = states + self.dropout(self.attention(normed, *self.attention.remembered(normed), hidden))
        out: Tensor = states + self.dropout(self.feed_forward(self.norm2(states)))
        return out


class DecoderLayer(nn.Module):
    """Attention to earlier positions, to the encoder's, and a feed-forward, each after a norm."""

    def __init__(self, width: int, inner: int, head_size: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, head_size)
        self.cross = Attention(width, head_size)
        self.feed_forward = FeedForward(width, inner)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, states: Tensor, past: Cache, cross: Cache, later: Tensor, padding: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """New positions (N, new, width), and the keys and values of all up to them.

        Args:
            states: Of the new positions.
            past: Keys and values of the positions before, of which there may be none.
            cross: Those of the encoder's.
            later: Hides from each new position those after it.
            padding: Hides the encoder's padding.
        """
        normed = self.norm1(states)
        keys, values = (
            torch.cat([old, new], dim=2) for old, new in zip(past, self.attention.remembered(normed), strict=True)
        )
        states = states + self.dropout(self.attention(normed, keys, values, later))
        states = states + self.dropout(self.cross(self.norm2(states), *cross, padding))
        return states + self.dropout(self.feed_forward(self.norm3(states))), keys, values


class SequenceNetwork(nn.Module):
    """Source tokens in, the next target token after each of those given out.

    Args:
        source_size: Tokens of the source's vocabulary.
        target_size: Tokens of the target's.
        width: Of embeddings and states; a multiple of ``head_size``.
        encoder_layers: How many.
        decoder_layers: How many; these run once a token.
        inner: Width of the feed-forwards; 4 times ``width`` where 0.
        head_size: Of each attention head.
        longest: Positions on either side.
        dropout: Share of states that a training step leaves out.
        tied: One table embeds target tokens and scores them (Press and Wolf 2017, https://arxiv.org/abs/1608.05859).
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        width: int,
        encoder_layers: int,
        decoder_layers: int,
        inner: int,
        head_size: int,
        longest: int,
        dropout: float,
        tied: bool,
    ) -> None:
        super().__init__()
        inner = inner or 4 * width
        self.head_size: int = head_size
        self.longest: int = longest
        self.source = nn.Embedding(source_size, width)
        self.target = nn.Embedding(target_size, width)
        self.source_places = nn.Embedding(longest, width)
        self.target_places = nn.Embedding(longest, width)
        for table in (self.source, self.target, self.source_places, self.target_places):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.dropout = nn.Dropout(dropout)
        shape = (width, inner, head_size, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*shape) for _ in range(encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(*shape) for _ in range(decoder_layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.answers = nn.Linear(width, target_size, bias=False)
        if tied:
            self.answers.weight = self.target.weight

    def forward(self, source: Tensor, mask: Tensor, target: Tensor) -> Tensor:
        """Logits (N, T, target_size), each position's of the token that comes after it.

        Args:
            source: int64 (N, S).
            mask: int64 (N, S), 0 for padding.
            target: int64 (N, T), the start token first.
        """
        return self.decode(target, mask, self.encode(source, mask), self.nothing_yet(len(source), source.device))[0]

    def encode(self, source: Tensor, mask: Tensor) -> Cache:
        """What all steps of the decoder attend to: keys and values of each of its layers, in turn.

        Args:
            source: int64 (N, S).
            mask: int64 (N, S), 0 for padding.
        """
        places = torch.arange(source.shape[1], device=source.device)
        states = self.dropout(self.source(source) + self.source_places(places))
        hidden = _hiding(mask[:, None, None, :] == 0, states)
        for layer in self.encoder:
            states = layer(states, hidden)
        states = self.encoder_norm(states)
        return tuple(part for layer in self.decoder for part in _attention(layer, "cross").remembered(states))

    def decode(self, tokens: Tensor, mask: Tensor, cross: Cache, past: Cache) -> tuple[Tensor, Cache]:
        """Logits (N, new, target_size) after new tokens, and keys and values of all positions up to them.

        Args:
            tokens: int64 (N, new), those after the past.
            mask: int64 (N, S), of the source.
            cross: From ``encode``.
            past: From the call before, or ``nothing_yet``.
        """
        begun, new = past[0].shape[2], tokens.shape[1]
        places = begun + torch.arange(new, device=tokens.device)
        states = self.dropout(self.target(tokens) + self.target_places(places))
        later = _hiding(torch.arange(begun + new, device=tokens.device) > places[:, None], states)
        padding = _hiding(mask[:, None, None, :] == 0, states)
        present: list[Tensor] = []
        for place, layer in enumerate(self.decoder):
            of_layer = slice(2 * place, 2 * place + 2)
            states, *known = layer(states, past[of_layer], cross[of_layer], later, padding)
            present += known
        return self.answers(self.decoder_norm(states)), tuple(present)

    def nothing_yet(self, samples: int, device: torch.device | str = "cpu") -> Cache:
        """The cache of a decoder that hasn't seen a token."""
        heads = [_attention(layer, "attention").heads for layer in self.decoder]
        return tuple(
            torch.zeros(samples, count, 0, self.head_size, device=device) for count in heads for _ in ("key", "value")
        )


def transformer(
    source_size: int,
    target_size: int,
    width: int = 256,
    encoder_layers: int = 3,
    decoder_layers: int = 3,
    inner: int = 0,
    head_size: int = 32,
    longest: int = 64,
    dropout: float = 0.1,
    tied: bool = True,
) -> nn.Module:
    """A small encoder-decoder transformer; ``SequenceNetwork`` says what the arguments are."""
    return SequenceNetwork(
        source_size,
        target_size,
        width,
        encoder_layers,
        decoder_layers,
        inner,
        head_size,
        longest,
        dropout,
        tied,
    )


def _attention(layer: nn.Module, name: str) -> Attention:
    found = layer.get_submodule(name)
    assert isinstance(found, Attention)
    return found


def _hiding(where: Tensor, like: Tensor) -> Tensor:
    """0 where something is seen and a very low number elsewhere, of which a softmax makes exactly 0.

    The lowest of float16, so that files of half precision have it too.
    """
    return where.to(like.dtype) * torch.finfo(torch.float16).min
