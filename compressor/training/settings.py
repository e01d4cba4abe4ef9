"""The settings of every stage that trains."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from compressor.settings import Settings


def _switched(value: Any) -> Any:
    """Booleans, which profiles had here, in today's words."""
    return ("on" if value else "off") if isinstance(value, bool) else value


class TrainSettings(Settings):
    """How long and how to train. One schedule spans the whole training."""

    epochs: int = Field(default=10, ge=1, description="passes over the training split")
    batch_size: int = Field(default=128, ge=1, description="samples per step, over all processes")
    optimizer: Literal["adamw", "sgd"] = Field(
        default="adamw", description="AdamW, or SGD with Nesterov momentum 0.9; AdamW forgives a wrong learning rate"
    )
    lr: float = Field(default=2e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(default=0.01, ge=0, description="on matrices and kernels, not on biases or norms")
    schedule: Literal["one-cycle", "cosine"] = Field(
        default="one-cycle", description="one-cycle warms up first (for fresh weights), cosine starts at the peak"
    )
    warmup: float = Field(default=0.2, ge=0, lt=1, description="share of the steps that one-cycle spends rising")
    clip_norm: float = Field(default=5.0, ge=0, description="gradient norm is clipped to this; 0 turns it off")
    ema: float = Field(default=0.0, ge=0, lt=1, description="decay of the weights' moving average; 0 turns it off")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto times bf16 autocast against fp32 on this network and takes the faster"
    )
    channels_last: Annotated[Literal["auto", "on", "off"], BeforeValidator(_switched)] = Field(
        default="auto",
        description="memory format of convolutional networks while training; auto where this device gains by it and "
        "the network, tried on a real batch, can be computed in it",
    )
    crop: int = Field(default=2, ge=0, description="augmentation: random shift by up to this many pixels")
    flip: Literal["auto", "on", "off"] = Field(
        default="auto", description="augmentation: mirror half of the images; auto where the data says it is safe"
    )
    erase: float = Field(
        default=0.0, ge=0, le=1, description="augmentation: share of the images in which a random box is erased"
    )


# Of a pretrained text network (Devlin et al. 2018, https://arxiv.org/abs/1810.04805, appendix A.3): a few epochs at a
# low rate, or it forgets what it knew.
FINE_TUNING = TrainSettings(epochs=3, batch_size=32, lr=5e-5, warmup=0.1, clip_norm=1.0)
