"""The networks of the zoo: by name, how each is built and the smallest input that it takes."""

import copy
import functools
import inspect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from compressor.factories import build, parse_factory
from compressor.models import FactoryRef

CLASSES = 10
SIZES = (32, 64, 75, 96, 128, 160, 192, 224, 240, 256, 288, 299, 384, 448)
# One of each family that timm has, the smallest or nearly so.
TIMM = (
    "beit_base_patch16_224", "botnet26t_256", "cait_xxs24_224", "coat_tiny", "convit_tiny", "convmixer_768_32",
    "convnext_atto", "convnextv2_atto", "crossvit_tiny_240", "cspdarknet53", "cspresnet50", "darknet53", "davit_tiny",
    "deit3_small_patch16_224", "densenet121", "dla34", "dm_nfnet_f0", "dpn68", "edgenext_xx_small",
    "efficientformer_l1", "efficientnet_lite0", "efficientvit_b0", "efficientvit_m0", "eva02_tiny_patch14_224",
    "fasternet_t0", "fastvit_t8", "fbnetc_100", "focalnet_tiny_srf", "gcresnet33ts", "gernet_s", "ghostnet_100",
    "halonet26t", "hardcorenas_a", "hgnetv2_b0", "hiera_tiny_224", "hrnet_w18_small", "inception_next_atto",
    "lambda_resnet26t", "lcnet_050", "levit_128s", "mambaout_femto", "mixer_s32_224", "mixnet_s",
    "mobilenetv3_small_050", "mobilenetv4_conv_small_050", "mobileone_s0", "mobilevit_xxs", "mobilevitv2_050",
    "mvitv2_tiny", "nest_tiny", "nextvit_small", "nf_resnet50", "pit_ti_224", "poolformer_s12", "pvt_v2_b0",
    "regnety_002", "repghostnet_050", "repvgg_a0", "repvit_m0_9", "res2net50_14w_8s", "resmlp_12_224", "resnest14d",
    "rexnet_100", "selecsls42", "sequencer2d_s", "seresnext26d_32x4d", "skresnet18", "starnet_s1", "swiftformer_xs",
    "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "tiny_vit_5m_224", "tinynet_e", "tresnet_m",
    "twins_pcpvt_small", "vgg11_bn", "visformer_tiny", "vit_tiny_patch16_224", "volo_d1_224", "vovnet39a",
    "xception41", "xcit_nano_12_p16_224",
)  # fmt: skip
# The large ones of these come last.
SLOW = (
    "beit_base_patch16_224", "botnet26t_256", "cait_xxs24_224", "darknet53", "davit_tiny", "dm_nfnet_f0", "fastvit_t8",
    "focalnet_tiny_srf", "halonet26t", "hiera_tiny_224", "hrnet_w18_small", "lambda_resnet26t", "mobileone_s0",
    "mvitv2_tiny", "nest_tiny", "nextvit_small", "nf_resnet50", "repghostnet_050", "repvgg_a0", "repvit_m0_9",
    "sequencer2d_s", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "tresnet_m", "twins_pcpvt_small",
    "volo_d1_224", "xcit_nano_12_p16_224",
)  # fmt: skip
# Parameters.
GIANT = 80_000_000
# Encoders of transformers, from configurations of tests/encoders.py.
ENCODERS = ("albert", "bert", "deberta-v2", "distilbert", "electra", "mpnet", "roberta")
# The two fastest, for the tests.
QUICK = ("signals/tcn", "signals/residual_1d")


@dataclass(frozen=True)
class Network:
    """A network that nobody trained, and what it is called with.

    Args:
        module: In eval mode.
        factory: What builds it.
        shape: Of one sample.
    """

    module: nn.Module
    factory: FactoryRef
    shape: tuple[int, ...]


def names() -> list[str]:
    """All of them, ``"torchvision/resnet18"``, the small ones of every library first."""
    small = [f"signals/{name}" for name in SIGNALS] + [f"transformers/{name}" for name in ENCODERS]
    vision = sorted(_parameters(), key=lambda name: _parameters()[name])
    timm = sorted((f"timm/{name}" for name in TIMM), key=lambda name: name.removeprefix("timm/") in SLOW)
    mixed = [name for pair in itertools.zip_longest(vision, timm) for name in pair if name]
    huge = giants()
    return small + sorted(mixed, key=lambda name: name in huge)


def giants() -> set[str]:
    """Those that shouldn't run beside each other."""
    return {name for name, count in _parameters().items() if count > GIANT}


@functools.cache
def _parameters() -> dict[str, int]:
    """Of torchvision's networks, as it says of its own weights."""
    listed = torchvision.models.list_models(module=torchvision.models)
    known = {name: next(iter(torchvision.models.get_model_weights(name))).meta["num_params"] for name in listed}
    return {f"torchvision/{name}": count for name, count in known.items()}


def image_network(name: str) -> Network:
    """A network of torchvision or timm at the smallest input it takes, its batch norms settled.

    Raises:
        ValueError: It takes no input of any size tried.
    """
    library, _, name = name.partition("/")
    error: Exception | None = None
    for ref, size in _candidates(library, name):
        try:
            module = build(ref).eval()
            _try(copy.deepcopy(module), torch.randn(2, 3, size, size))
        except Exception as refused:  # what a size that isn't legal raises differs from network to network
            error = refused
            continue
        return Network(settled(module, (3, size, size)), ref, (3, size, size))
    raise ValueError(f"{name} takes no square input of {SIZES[0]} to {SIZES[-1]} pixels: {error}")


def _candidates(library: str, name: str) -> Iterator[tuple[FactoryRef, int]]:
    """Factories and sizes to try, smallest first: some networks are built for one size."""
    if library == "timm":
        for size in SIZES:
            for given in ({"img_size": size}, {}):
                named = {"model_name": name, "num_classes": CLASSES, **given}
                yield parse_factory("timm:create_model", named), size
        return
    factory = getattr(torchvision.models, name)
    arguments: dict[str, Any] = {"num_classes": CLASSES}
    if name in ("googlenet", "inception_v3"):
        arguments["init_weights"] = False
    family = inspect.getmodule(factory)
    for size in SIZES:
        more: dict[str, Any] = {"image_size": size} if family is torchvision.models.vision_transformer else {}
        more = {"input_size": [size, size]} if name == "maxvit_t" else more
        yield parse_factory(f"torchvision:{name}", {**arguments, **more}), size


def _try(module: nn.Module, inputs: Tensor) -> None:
    outputs: Any = module(inputs)
    if not isinstance(outputs, Tensor):
        return
    outputs.float().sum().backward()
    module.zero_grad(set_to_none=True)


def settled(module: nn.Module, shape: tuple[int, ...], batches: int = 2, batch_size: int = 32) -> nn.Module:
    """The module with statistics of its batch norms that fit its weights and noise: drawn ones explode or vanish."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    if norms:
        with torch.no_grad():
            for _ in range(batches):
                noise = torch.rand(batch_size, *shape)
                module((noise - 0.5) / 0.25 if len(shape) == 3 else noise)
    for norm in norms:
        norm.momentum = 0.1
    return module.eval()


class ConvLstm(nn.Module):
    """Convolutions over a signal, an LSTM over what they found, and a linear layer."""

    recurrent: type[nn.LSTM | nn.GRU] = nn.LSTM

    def __init__(self, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(channels, width, 5, padding=2), nn.BatchNorm1d(width), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(width, 2 * width, 5, padding=2), nn.BatchNorm1d(2 * width), nn.ReLU(), nn.MaxPool1d(2),
        )  # fmt: skip
        self.memory = self.recurrent(2 * width, width, batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, signal: Tensor) -> Tensor:
        found, _ = self.memory(self.front(signal).transpose(1, 2))
        logits: Tensor = self.head(found[:, -1])
        return logits


class ConvGru(ConvLstm):
    """The same with a GRU."""

    recurrent = nn.GRU


class Residual1d(nn.Module):
    """A residual network over signals."""

    def __init__(self, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv1d(channels, width, 7, stride=2, padding=3)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width, 3, padding=1, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
                nn.Conv1d(width, width, 3, padding=1, bias=False), nn.BatchNorm1d(width),
            )
            for _ in range(3)
        )  # fmt: skip
        self.head = nn.Linear(width, CLASSES)

    def forward(self, signal: Tensor) -> Tensor:
        hidden = self.stem(signal).relu()
        for block in self.blocks:
            hidden = (hidden + block(hidden)).relu()
        logits: Tensor = self.head(hidden.mean(2))
        return logits


class Tcn(nn.Module):
    """Dilated convolutions that see the past alone (a temporal convolutional network)."""

    def __init__(self, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        wide = [channels, width, width, width]
        self.layers = nn.ModuleList(
            nn.Conv1d(into, out, 3, dilation=2**depth) for depth, (into, out) in enumerate(itertools.pairwise(wide))
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(self, signal: Tensor) -> Tensor:
        for depth, layer in enumerate(self.layers):
            signal = layer(nn.functional.pad(signal, (2 * 2**depth, 0))).relu()
        logits: Tensor = self.head(signal[:, :, -1])
        return logits


SIGNALS: dict[str, type[nn.Module]] = {
    "conv_lstm": ConvLstm,
    "conv_gru": ConvGru,
    "residual_1d": Residual1d,
    "tcn": Tcn,
}


def signal_network(name: str) -> Network:
    """A network over signals of three channels and 64 steps."""
    name = name.rpartition("/")[2]
    ref = FactoryRef(reference=f"zoo_networks:{SIGNALS[name].__name__}")
    return Network(settled(SIGNALS[name]().eval(), (3, 64)), ref, (3, 64))
