"""Which factories a model file may name: importing a name runs code, and so does calling one."""

import inspect

from torch import nn

from compressor.errors import UntrustedError
from compressor.importing import import_object
from compressor.models import FactoryRef

# Where a library keeps its networks, and nothing else that a file could abuse.
HOMES = {
    "torchvision": ("torchvision.models",),
    "timm": ("timm", "timm.models"),
    "transformers": ("transformers", "transformers.models"),
    "compressor": (
        "compressor.factories.small_images",
        "compressor.factories.text_network",
        "compressor.factories.image_network",
    ),
}
OURS = frozenset(
    {
        "compressor.factories.image_network:image_network",
        "compressor.factories.small_images:digits_net",
        "compressor.factories.small_images:resnet",
        "compressor.factories.small_images:vgg",
        "compressor.factories.text_network:text_network",
    }
)
# Arguments that fetch weights or read further files. The weights follow from the model file anyway.
FETCHING = frozenset(
    {
        "cache_dir",
        "checkpoint_path",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "weights",
        "weights_backbone",
    }
)


def is_known_library(ref: FactoryRef) -> bool:
    """Whether the factory is a plain name of a known model library: torchvision, timm, transformers, ours."""
    module, _, name = ref.reference.partition(":")
    root = module.partition(".")[0]
    if "." in name or root not in HOMES:
        return False
    if root == "timm" and module == "timm" and name != "create_model":
        return False
    return any(module == home or (home != root and module.startswith(f"{home}.")) for home in HOMES[root])


def trusted(ref: FactoryRef, where: str) -> FactoryRef:
    """A factory that was named inside a file, safe to call.

    Args:
        ref: As the file gives it.
        where: The file, for the message.

    Returns:
        The same factory without the arguments that fetch weights.

    Raises:
        UntrustedError: It isn't a network of a known model library.
    """
    if not is_known_library(ref) or not _is_network(ref):
        raise UntrustedError(
            f"{where} names its own factory '{ref.reference}', and importing it would run code; only networks of "
            f"{', '.join(HOMES)} are taken from a file",
            f"--factory {ref.reference} if you know it, or --trust",
        )
    return without_fetching(ref)


def without_fetching(ref: FactoryRef) -> FactoryRef:
    """The factory without the arguments that fetch weights."""
    kept = {key: value for key, value in ref.arguments.items() if key not in FETCHING}
    return FactoryRef(reference=ref.reference, arguments=kept)


def _is_network(ref: FactoryRef) -> bool:
    root = ref.reference.partition(":")[0].partition(".")[0]
    name = ref.reference.partition(":")[2]
    if ref.reference == "timm:create_model":
        # "hf-hub:..." and "local-dir:..." read a configuration from elsewhere.
        return str(ref.arguments.get("model_name", "")).replace(".", "_").isidentifier()
    factory = import_object(ref.reference)
    if getattr(factory, "__module__", "").partition(".")[0] != root:
        return False
    if inspect.isclass(factory):
        return issubclass(factory, nn.Module)
    if root == "torchvision":
        return name in import_object("torchvision.models:list_models")()
    if root == "timm":
        return bool(import_object("timm:is_model")(name))
    # What a module of ours imports is a function too; what its file may name is listed.
    return ref.reference in OURS
