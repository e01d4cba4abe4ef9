"""The layers of a pruned network fitted to what they made before, each as one call reaches it."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from compressor.context import RunContext

# Towards the weights that pruning left: a share of what the layer's inputs are worth on average.
RIDGE = 0.01
# Inputs that are always nought have nothing to be fitted by, and no scale of their own either.
LEAST_RIDGE = 1e-6
# Places of a layer's output that it is fitted on, at most: twice as many as a 3x3 kernel over 512 channels has numbers.
ROWS = 10_000
# Of a grouped layer, whose groups have few numbers each.
GROUPED_ROWS = 1000
# Samples of the call, and numbers that they may have in all: what its layers make lies in memory at once.
SAMPLES, INPUT_NUMBERS = 256, 12_000_000
Forward = Callable[[nn.Module], object]
# Of one call of torch's convolutions: input, weight, bias, stride, padding, dilation, groups.
CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
DEFAULTS: dict[str, Any] = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}


class _Layers(TorchFunctionMode):
    """Sees every convolution and product with a weight of the network, however the network's code calls it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._names = {id(parameter): name for name, parameter in module.named_parameters()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``reached`` before the operator where its weight is a parameter."""
        if func in (torch.conv1d, torch.conv2d, functional.linear):
            given = {**DEFAULTS, **dict(zip(CONVOLUTION, args, strict=False)), **(kwargs or {})}
            name = self._names.get(id(given["weight"]))
            # A convolution of a single sample has its channels elsewhere.
            batched = given["weight"].dim() in (2, given["input"].dim())
            if name is not None and batched:
                return self.reached(name, given, lambda: func(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))

    def reached(self, name: str, given: dict[str, Any], call: Callable[[], Tensor]) -> Tensor:
        """What the operator gives: of the weight ``name``, with what it is given."""
        raise NotImplementedError


class _Recording(_Layers):
    """What each layer of the whole network makes, at some places of its output."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.made: dict[str, Tensor] = {}
        self._seen: set[str] = set()

    def reached(self, name: str, given: dict[str, Any], call: Callable[[], Tensor]) -> Tensor:
        """Keep it, but of a layer that is called several times: what fits one call is wrong for another."""
        out = call()
        if name in self._seen:
            self.made.pop(name, None)
        else:
            self.made[name] = _lines(out, given)[:, _places(name, out, given)]
        self._seen.add(name)
        return out


class _Fitting(_Layers):
    """Fits each layer of the pruned network before it computes, so that the next reads what it will."""

    def __init__(self, module: nn.Module, made: Mapping[str, Tensor], stays: Mapping[str, Tensor]) -> None:
        super().__init__(module)
        self._made, self._stays = made, stays
        self.fitted: list[str] = []

    def reached(self, name: str, given: dict[str, Any], call: Callable[[], Tensor]) -> Tensor:
        """Fit, and compute with the new weights."""
        wanted = self._made.get(name)
        if wanted is None:
            return call()
        out = call()
        wanted = wanted[self._stays[name].to(wanted.device)] if name in self._stays else wanted
        places = _places(name, out, given)
        # The network may have been cut where its labels don't reach.
        if len(wanted) != out.shape[_channel_axis(given)] or int(places.max()) >= out.numel() // len(wanted):
            return out
        _fit(given, wanted, places)
        self.fitted.append(name)
        return call()


class _Weighing(_Layers):
    """What each input channel is to the layer that reads it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.worth: dict[str, Tensor] = {}

    def reached(self, name: str, given: dict[str, Any], call: Callable[[], Tensor]) -> Tensor:
        """Weigh it, of a layer that is called several times the first."""
        if name not in self.worth and given["groups"] == 1:
            read = given["input"].detach().float().movedim(_channel_axis(given), 0).flatten(1).square().mean(1)
            lost = given["weight"].detach().float().square().transpose(0, 1).flatten(1).sum(1) * read
            self.worth[name] = lost / lost.sum().clamp(min=torch.finfo(lost.dtype).tiny)
        return call()


def forward_on(ctx: RunContext, samples: int = SAMPLES) -> Forward:
    """A call with one batch of training inputs, at most as many as fit; their labels aren't looked at."""
    data = ctx.data
    numbers = sum(tensor[0].numel() for tensor in data.batch("train", torch.arange(1)).inputs)
    size = max(1, min(samples, len(data.train), INPUT_NUMBERS // max(1, numbers)))
    batch = next(data.training_batches(size, ctx.seed, epoch=0)).to(ctx.device)
    return lambda module: ctx.task.forward(module, batch)


def worth_to_readers(module: nn.Module, forward: Forward) -> dict[str, Tensor]:
    """By a weight's name what share of its layer's output each of its inputs makes, (inputs,).

    The squared error of the output without one input, taken as independent of the others: the diagonal of Optimal
    Brain Surgeon's Hessian (Hassibi and Stork 1993), here summed over a channel's weights.

    Args:
        module: In eval mode.
        forward: Calls it with a batch.
    """
    weighing = _Weighing(module)
    with torch.no_grad(), weighing:
        forward(module)
    return weighing.worth


def refit(module: nn.Module, whole: nn.Module, stays: Mapping[str, Tensor], forward: Forward) -> list[str]:
    """Give a pruned network's layers the weights with which they come nearest to what they made before, in place.

    By least squares on each layer's own output, as He et al. 2017
    (https://arxiv.org/abs/1707.06168, section 3.1): a layer whose inputs were cut lets those that are left stand in
    for the others. Layer by layer in the order of the call, each reading what the fitted ones before it give, so that
    their errors aren't handed on. Nothing is trained, and no labels are needed.

    Args:
        module: Pruned; in eval mode, changed in place.
        whole: The network before, in eval mode, with the same names.
        stays: By a weight's name which of the whole layer's outputs it still makes; all where it isn't named.
        forward: Calls a network with a batch, the same at every call.

    Returns:
        The names of the weights that were fitted.
    """
    with torch.no_grad():
        recording = _Recording(whole)
        with recording:
            forward(whole)
        fitting = _Fitting(module, recording.made, stays)
        with fitting:
            forward(module)
    return fitting.fitted


def _channel_axis(given: dict[str, Any]) -> int:
    return 1 if given["weight"].dim() > 2 else given["input"].dim() - 1


def _lines(out: Tensor, given: dict[str, Any]) -> Tensor:
    """(channels, places): a layer's output, samples and positions in one."""
    return out.detach().movedim(_channel_axis(given), 0).flatten(1).float()


def _places(name: str, out: Tensor, given: dict[str, Any]) -> Tensor:
    """Which places of an output are looked at: the same for a layer before and after, whatever it has lost."""
    count = out.numel() // out.shape[_channel_axis(given)]
    rows = ROWS if given["groups"] == 1 else GROUPED_ROWS
    if count <= rows:
        return torch.arange(count, device=out.device)
    chance = torch.Generator().manual_seed(len(name) + count)
    return torch.randperm(count, generator=chance)[:rows].to(out.device)


def _fit(given: dict[str, Any], wanted: Tensor, places: Tensor) -> None:
    weight, bias, groups = given["weight"], given["bias"], given["groups"]
    read = _read(given, places)
    made = wanted.view(groups, -1, len(places)).transpose(1, 2)
    left = weight.detach().double().flatten(1).view(groups, len(weight) // groups, -1).transpose(1, 2)
    if bias is not None:
        read = torch.cat([read, read.new_ones(*read.shape[:2], 1)], dim=2)
        left = torch.cat([left, bias.detach().double().view(groups, 1, -1)], dim=1)
    products = (read.transpose(1, 2) @ read).double()
    diagonal = products.diagonal(dim1=1, dim2=2)
    ridge = RIDGE * diagonal.mean(1) + LEAST_RIDGE * diagonal.mean() + torch.finfo(torch.float32).tiny
    added = ridge[:, None, None] * torch.eye(products.shape[1], dtype=products.dtype, device=products.device)
    found = torch.linalg.solve(products + added, (read.transpose(1, 2) @ made).double() + added @ left)
    if bias is not None:
        bias.copy_(found[:, -1].flatten())
        found = found[:, :-1]
    weight.copy_(found.transpose(1, 2).reshape(weight.shape))


def _read(given: dict[str, Any], places: Tensor) -> Tensor:
    """(groups, places, numbers): what a layer reads for each of those places of its output."""
    source: Tensor = given["input"].detach().float()
    weight: Tensor = given["weight"]
    if weight.dim() == 2:
        return source.reshape(-1, source.shape[-1])[places][None]
    numbers = [_pair(given[what], weight.dim() - 2) for what in ("stride", "padding", "dilation")]
    if given["padding"] == "same":
        around = [dilation * (kernel - 1) for dilation, kernel in zip(numbers[2], weight.shape[2:], strict=True)]
        source = functional.pad(
            source, [part for whole in reversed(around) for part in (whole // 2, whole - whole // 2)]
        )
    if weight.dim() == 3:
        source, weight = source[:, :, None], weight[:, :, None]
        numbers = [[neutral, *own] for neutral, own in zip((1, 0, 1), numbers, strict=True)]
    stride, padding, dilation = numbers
    if any(padding):
        source = functional.pad(source, (padding[1], padding[1], padding[0], padding[0]))
    height, width = weight.shape[2:]
    high = (source.shape[2] - dilation[0] * (height - 1) - 1) // stride[0] + 1
    wide = (source.shape[3] - dilation[1] * (width - 1) - 1) // stride[1] + 1
    sample, position = places // (high * wide), places % (high * wide)
    rows = (position // wide * stride[0])[:, None] + torch.arange(height, device=places.device) * dilation[0]
    columns = (position % wide * stride[1])[:, None] + torch.arange(width, device=places.device) * dilation[1]
    # (places, channels, height, width): only what is looked at is gathered.
    patches: Tensor = source[sample[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return patches.reshape(len(places), given["groups"], -1).transpose(0, 1)


def _pair(value: Any, dims: int) -> list[int]:
    if isinstance(value, str):
        return [0] * dims
    found = list(value) if isinstance(value, tuple | list) else [value]
    return found * dims if len(found) == 1 and dims > 1 else found
