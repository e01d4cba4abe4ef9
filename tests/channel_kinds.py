"""Small networks of every kind in which channels are coupled in a way of its own, for images of 3x8x8."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

SIZE = 8


class Classifier(nn.Module):
    """A convolution, a body of its kind, and a linear layer on the mean."""

    def __init__(self, width: int = 16, out: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(out, 5)

    body: Callable[[Tensor], Tensor]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(self.stem(x)).mean((2, 3)))
        return logits


class SplitAndJoin(Classifier):
    """YOLO's C2f: two halves, one goes on, all are joined."""

    def __init__(self) -> None:
        super().__init__(out=32)
        self.c = 16
        self.one, self.two = nn.Conv2d(16, 32, 1), nn.Conv2d(16, 16, 3, padding=1)
        self.last = nn.Conv2d(48, 32, 1)

    def body(self, x: Tensor) -> Tensor:
        parts = list(self.one(x).split((self.c, self.c), 1))
        parts.append(self.two(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Chunked(SplitAndJoin):
    def body(self, x: Tensor) -> Tensor:
        first, second = self.one(x).chunk(2, 1)
        return self.last(torch.cat([second, self.two(first), first], 1))


class Partial(Classifier):
    """FasterNet: a convolution of a quarter of the channels."""

    def __init__(self) -> None:
        super().__init__(width=32, out=32)
        self.sizes = [8, 24]
        self.partial = nn.Conv2d(8, 8, 3, padding=1)
        self.up, self.down = nn.Conv2d(32, 64, 1), nn.Conv2d(64, 32, 1)

    def body(self, x: Tensor) -> Tensor:
        one, rest = x.split(self.sizes, 1)
        return x + self.down(self.up(torch.cat([self.partial(one), rest], 1)).relu())


class Pixels(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Conv2d(16, 64, 1)
        self.shuffle = nn.PixelShuffle(2)

    def body(self, x: Tensor) -> Tensor:
        return self.shuffle(self.up(x))


class Gated(Pixels):
    def __init__(self) -> None:
        super().__init__()
        self.shuffle = nn.Sequential(nn.GLU(1), nn.GLU(1))


class Multiplied(Classifier):
    """A grouped convolution with more outputs than inputs."""

    def __init__(self, groups: int = 16) -> None:
        super().__init__(out=32)
        self.groups = nn.Conv2d(16, 32, 3, groups=groups)

    def body(self, x: Tensor) -> Tensor:
        return self.groups(x)


class Shuffled(Classifier):
    """ShuffleNetV2: half passes by, and the channels change places."""

    def __init__(self) -> None:
        super().__init__(width=32, out=32)
        self.branch = nn.Sequential(nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16))

    def body(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        x = torch.cat([left, self.branch(right)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class LinearAttention(Classifier):
    """EfficientViT: keys times values first, of heads of a fixed width."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = 8
        self.qkv, self.proj = nn.Conv2d(16, 48, 1, bias=False), nn.Conv2d(16, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        q, k, v = self.qkv(x).reshape(n, -1, 3 * self.dim, h * w).transpose(-1, -2).chunk(3, -1)
        out = q.relu() @ (k.relu().transpose(-1, -2) @ v)
        return x + self.proj(out.transpose(-1, -2).reshape(n, -1, h, w))


class NonLocal(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv2d(16, 8, 1) for _ in range(3))
        self.out = nn.Conv2d(8, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
        y = (theta.transpose(1, 2) @ phi).softmax(-1) @ g.transpose(1, 2)
        return x + self.out(y.transpose(1, 2).reshape(len(x), -1, SIZE, SIZE))


class Excited(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.less, self.more = nn.Linear(16, 8), nn.Linear(8, 16)

    def body(self, x: Tensor) -> Tensor:
        n, c = x.shape[:2]
        return x * self.more(self.less(x.mean((2, 3))).relu()).sigmoid().view(n, c, 1, 1)


class Dense(Classifier):
    def __init__(self) -> None:
        super().__init__(out=48)
        self.layers = nn.ModuleList([nn.Conv2d(16 * (at + 1), 16, 3, padding=1) for at in range(2)])

    def body(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Functional(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.shift = nn.Parameter(torch.randn(16, 16, 3, 3) * 0.1), nn.Parameter(torch.randn(16))

    def body(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, self.shift)


class PaddedConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class Subclassed(Classifier):
    """EfficientNet-Lite's convolutions pad for themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.each = PaddedConv(16, 32, 2), PaddedConv(32, 32, 2, groups=32)
        self.last = PaddedConv(32, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        return self.last(self.each(self.conv(x)))


class Normed(Classifier):
    def __init__(self, old: bool = False) -> None:
        super().__init__()
        norm = nn.utils.weight_norm if old else nn.utils.parametrizations.weight_norm
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.one, self.two = norm(nn.Conv2d(16, 32, 3)), norm(nn.Conv2d(32, 16, 1))

    def body(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).relu())


class Tied(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.two.weight = self.one.weight

    def body(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).relu()).relu()


class Lazy(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.LazyConv2d(32, 3), nn.LazyConv2d(16, 1)
        self.forward(torch.randn(1, 3, SIZE, SIZE))

    def body(self, x: Tensor) -> Tensor:
        return self.two(self.one(x))


class Branched(Classifier):
    """RepVGG: three branches that are one convolution once they are fused."""

    def __init__(self) -> None:
        super().__init__()
        self.three, self.one = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.Conv2d(16, 16, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(16) for _ in range(3))

    def body(self, x: Tensor) -> Tensor:
        a, b, c = (norm(y) for norm, y in zip(self.norms, (self.three(x), self.one(x), x), strict=True))
        return (a + b + c).relu()


class Recurrent(Classifier):
    def __init__(self) -> None:
        super().__init__(out=12)
        self.lstm, self.gru = nn.LSTM(16, 12, batch_first=True), nn.GRU(16, 12, batch_first=True)

    def body(self, x: Tensor) -> Tensor:
        steps = x.flatten(2).transpose(1, 2)[:, :4]
        return (self.lstm(steps)[0] + self.gru(steps)[0]).transpose(1, 2)[..., None]


class Windows(Classifier):
    """Swin: attention inside of windows, its width said by the network's."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.norm, self.qkv, self.proj = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def body(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        y = torch.roll(self.norm(x), (-2, -2), (1, 2)).view(n, h // 4, 4, w // 4, 4, c).transpose(2, 3)
        qkv = self.qkv(y.reshape(-1, 16, c)).reshape(-1, 16, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = (qkv[0] @ qkv[1].transpose(-2, -1)).softmax(-1) @ qkv[2]
        y = self.proj(y.transpose(1, 2).reshape(-1, 16, c)).view(n, h // 4, w // 4, 4, 4, c)
        x = x + torch.roll(y.transpose(2, 3).reshape(n, h, w, c), (2, 2), (1, 2))
        return (x + self.down(self.up(x).relu())).permute(0, 3, 1, 2)


class Flattened(nn.Module):
    """The textbook's: the size before the linear layers is a number in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 16, 3, padding=1)
        self.wide, self.head = nn.Linear(16 * 4 * 4, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.two(self.one(x).relu()).relu(), 2)
        logits: Tensor = self.head(self.wide(x.view(-1, 16 * 4 * 4)).relu())
        return logits


class Said(Flattened):
    """The same, the size kept by the module."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"flat": 256}

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.two(self.one(x).relu()).relu(), 2)
        logits: Tensor = self.head(self.wide(x.view(-1, self.config["flat"])).relu())
        return logits


KINDS: dict[str, Callable[[], nn.Module]] = {
    kind.__name__: kind
    for kind in (
        *(SplitAndJoin, Chunked, Partial, Pixels, Gated, Multiplied, Shuffled, LinearAttention, NonLocal),
        *(Excited, Dense, Functional, Subclassed, Normed, Tied, Lazy, Branched, Recurrent, Windows),
        *(Flattened, Said),
    )
} | {"Grouped": lambda: Multiplied(groups=2), "NormedOldWay": lambda: Normed(old=True)}


def made(kind: str) -> nn.Module:
    """A network of this kind in which every statistic counts."""
    torch.manual_seed(0)
    module = KINDS[kind]().eval()
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, nn.BatchNorm2d):
                nn.init.uniform_(child.weight, 0.5, 1.5)
                nn.init.normal_(child.bias)
                nn.init.normal_(child.running_mean)
    return module
