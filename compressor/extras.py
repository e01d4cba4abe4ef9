"""Optional dependencies: imported where they are used, with the pip line when they are absent."""

import importlib
from types import ModuleType

from compressor.errors import MissingError

EXTRAS = {
    "torchvision": "vision",
    "timm": "vision",
    "transformers": "hf",
    "tokenizers": "hf",
    "rapidfuzz": "sequences",
    "pyarrow": "parquet",
    "tensorrt": "tensorrt",
    "optuna": "tune",
    "sqlalchemy": "tune",
    "psycopg": "storage",
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "trackio": "trackio",
}


def require(name: str) -> ModuleType:
    """Import an optional module.

    Args:
        name: The module's import name, ``"timm"`` or ``"torchvision.models"``.

    Raises:
        MissingError: The module isn't installed; the hint is the pip line that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        root = name.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != root:
            raise
        extra = EXTRAS.get(root)
        wanted = f"'compressor[{extra}]'" if extra else root
        raise MissingError(f"'{root}' is not installed", f"pip install {wanted}") from None
