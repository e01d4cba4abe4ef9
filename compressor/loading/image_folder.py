"""A Hugging Face folder of a network that classifies images: configuration, safetensors and how images are prepared."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from compressor.data.labels import unnamed
from compressor.errors import ModelFileError
from compressor.extras import require
from compressor.factories.image_network import HEAD, ImageNetwork, image_class, reference_of_images
from compressor.factories.text_network import config_of
from compressor.loading.pretrained import pretrained, weights_are_pickled
from compressor.models import InputSpec, ModelInfo, TorchModel
from compressor.reading import as_record, read_json

TASK = "image-classification"
# What says how images are prepared, and under which name, in the library's older and newer form.
PREPARED = {"preprocessor_config.json": "", "processor_config.json": "image_processor"}
HINT = "save it anew: processor.save_pretrained(folder)"
WHITE = 255

Side = Annotated[int, Field(strict=True, ge=1, le=2**16)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Sides(BaseModel):
    model_config = ConfigDict(extra="ignore")

    height: Side | None = None
    width: Side | None = None
    shortest_edge: Side | None = None


class _Prepared(BaseModel):
    """What is read of an image processor; the library reads the rest."""

    model_config = ConfigDict(extra="ignore")

    do_normalize: bool | None = None
    do_rescale: bool | None = None
    do_center_crop: bool | None = None
    image_mean: list[Number] | None = None
    image_std: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    rescale_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    size: _Sides | Side | None = None
    crop_size: _Sides | Side | None = None


def is_image_folder(values: dict[str, Any]) -> bool:
    """Whether a configuration is of a network for images."""
    heads = [str(name) for name in values.get("architectures") or ()]
    if any(HEAD in name for name in heads):
        return True
    auto: Any = require("transformers").models.auto.modeling_auto
    kind = values.get("model_type")
    texts, images = (
        auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    )
    return kind in images and kind not in texts


def load_image_folder(folder: Path, values: dict[str, Any], trust: bool) -> TorchModel:
    """Read a network for images that ``save_pretrained`` wrote.

    Args:
        folder: With config.json and weights; an image processor's file where the images are normalised.
        values: Of its config.json.
        trust: Read weights that are a pickle, which runs code.

    Raises:
        ModelFileError: A file is damaged, or doesn't fit; the head has no weights.
        InputError: transformers doesn't know this network.
        UntrustedError: Its weights are a pickle.
    """
    config = config_of(values)
    network, untrained = pretrained(folder, config, image_class(config), weights_are_pickled(folder, trust))
    if untrained:
        raise ModelFileError(
            f"{folder} has no weights for {', '.join(untrained[:3])}: its head for images was never trained",
            "a folder of a network that was fine-tuned on your classes",
        )
    config.architectures = [type(network).__name__]
    # Some configurations know neither names nor a count.
    names = tuple(str((config.id2label or {}).get(place, "")) for place in range(config.num_labels or 0))
    info = ModelInfo(
        factory=reference_of_images(config),
        task=TASK,
        inputs=_inputs(folder, config),
        classes=() if names == unnamed(len(names)) or "" in names else names,
    )
    return TorchModel(ImageNetwork(network).float().eval(), info)


def _inputs(folder: Path, config: Any) -> tuple[InputSpec, ...]:
    """What the network takes, nothing where no size is said."""
    said = _prepared(folder)
    sides = _sides(getattr(config, "image_size", None)) or _sides(_size_of(said))
    if sides is None:
        if said.do_normalize is not False and said.image_mean:
            raise ModelFileError(f"{folder} says how images are normalised, and not of which size they are", HINT)
        return ()
    channels = getattr(config, "num_channels", None) or 3
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    if said.do_normalize is not False and said.image_mean and said.image_std:
        for name, given in (("image_mean", said.image_mean), ("image_std", said.image_std)):
            if len(given) != channels:
                message = f"{folder}: {name} has {len(given)} numbers, and the network takes {channels} channels"
                raise ModelFileError(message, HINT)
        # Pixels come as 0 to 1; the processor's are these times what it scales by.
        scale = 1 / WHITE if said.do_rescale is False else (said.rescale_factor or 1 / WHITE) * WHITE
        mean, std = (tuple(value / scale for value in given) for given in (said.image_mean, said.image_std))
    return (InputSpec(shape=(channels, *sides), mean=mean, std=std),)


def _prepared(folder: Path) -> _Prepared:
    for name, part in PREPARED.items():
        path = folder / name
        if path.is_file():
            values: Any = read_json(path, dict, HINT, ModelFileError)
            return as_record(_Prepared, values.get(part) if part else values, str(path), HINT, ModelFileError)
    return _Prepared()


def _size_of(said: _Prepared) -> Any:
    return said.size if said.crop_size is None or said.do_center_crop is False else said.crop_size


def _sides(size: Any) -> tuple[int, int] | None:
    """Height and width, of a number, a pair, or a processor's record."""
    if isinstance(size, _Sides):
        size = [size.height, size.width] if size.height and size.width else size.shortest_edge
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None
