"""Any ``--data`` to three checked splits."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compressor.data.batches import Data
from compressor.data.splits import shorten
from compressor.data.tables import is_table, text_table
from compressor.errors import DataError, did_you_mean
from compressor.importing import is_reference
from compressor.models import InputSpec
from compressor.reading import placed

__all__ = ["is_user_code", "load_data", "shorten"]

NAMED = ("digits", "fashion-mnist", "mnist-idx")
FORMS = (
    "digits, fashion-mnist[:FOLDER], mnist-idx:FOLDER, a folder with train/ and test/, FILE.npz, "
    "FILE.csv|.tsv|.jsonl|.parquet or a folder with train and test files of one such kind, a folder that "
    "datasets' save_to_disk wrote, package.module:factory"
)


def is_user_code(spec: str) -> bool:
    """Whether loading this spec would import the user's own code."""
    head = spec.partition(":")[0]
    return head not in NAMED and is_reference(spec) and not Path(spec).exists()


def load_data(
    spec: str | Callable[..., Any],
    *,
    args: Mapping[str, Any] | None = None,
    inputs: InputSpec | None = None,
    classes: tuple[str, ...] = (),
    seed: int = 0,
) -> Data:
    """Read data, split it and check it.

    Args:
        spec: As after ``--data``, or a callable that returns data or loaders.
        args: The ``--data-arg`` values.
        inputs: What the model expects of one sample: its size and normalisation.
        classes: What the model calls its classes; labels that are texts are put in its order.
        seed: Draws the validation split where there is none.

    Raises:
        DataError: It can't be read, can't be trained on, or doesn't fit ``inputs``.
    """
    args = args or {}
    if not isinstance(spec, str):
        from compressor.data.loaders import data_from_callable

        return data_from_callable(spec, getattr(spec, "__name__", "the data factory"), args, inputs, seed)
    head, _, rest = spec.partition(":")
    path = placed(spec, "data", f"--data with one of: {FORMS}", DataError)
    if head in NAMED:
        return _named(head, rest, args, inputs, seed)
    if is_table(path):
        return text_table(path, args, classes, seed)
    if path.is_dir():
        from compressor.data.folder import image_folder

        return image_folder(path, args, inputs, seed)
    if path.suffix == ".npz":
        from compressor.data.keras_npz import keras_npz

        if not path.exists():
            raise DataError(f"no file {path}", "check the path")
        return keras_npz(path, args, inputs, seed)
    if is_user_code(spec):
        from compressor.data.loaders import user_code

        return user_code(spec, args, inputs, seed)
    what = (
        f"can't tell what kind of data {spec} is" if path.exists() else f"no data '{spec}'{did_you_mean(head, NAMED)}"
    )
    raise DataError(what, f"--data with one of: {FORMS}")


def _named(name: str, folder: str, args: Mapping[str, Any], inputs: InputSpec | None, seed: int) -> Data:
    if name == "digits":
        from compressor.data.digits import digits

        if folder:
            raise DataError(f"'digits' takes no folder, got '{folder}'", "--data digits, or --data mnist-idx:FOLDER")
        return digits(args, inputs, seed)
    from compressor.data.idx import fashion_mnist, mnist_idx

    return (fashion_mnist if name == "fashion-mnist" else mnist_idx)(folder, args, inputs, seed)
