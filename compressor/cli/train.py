"""``compress train``: a teacher of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compressor.cli.options import MODEL_OPTIONS, ModelOptions, add_options
from compressor.cli.printed import echo
from compressor.errors import InputError, ProfileError

if TYPE_CHECKING:
    from compressor.data import Data
    from compressor.models import ModelInfo, TorchModel
    from compressor.training import TrainSettings


@click.command()
@click.argument("model")
@add_options(MODEL_OPTIONS)
@click.option(
    "--out",
    required=True,
    metavar="DIR|FILE.pt",
    help="Where it goes: a folder for a text network, else DIR/model.pt, or FILE.",
)
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="A training setting: train.epochs=20.")
def train(out: str, overrides: tuple[str, ...], **typed: Any) -> None:
    """Train or fine-tune MODEL on labels, so that it can teach, and write a checkpoint.

    MODEL is a checkpoint to go on from, a Hugging Face folder (a pretrained one gets a new head, and so does one whose
    head is for other classes than the data's), or a factory such as torchvision:resnet18 with --factory-arg.
    """
    from compressor.cli.options import check_writable
    from compressor.cli.progress import progress_display

    options = ModelOptions(**typed)
    check_writable(Path(out).parent if out.endswith(".pt") else Path(out))

    from compressor.assignments import parse_assignments
    from compressor.cli.teach import train_teacher
    from compressor.factories.text_network import is_text_network
    from compressor.tasks import make_task

    model = _network(options)
    settings = train_settings(overrides, model.info)
    model, data = _with_data(model, options)
    to_folder = is_text_network(model.info.factory) and not out.endswith(".pt")
    path = Path(out) if to_folder or out.endswith(".pt") else Path(out) / "model.pt"
    if options.data is not None:
        typed_args = parse_assignments(options.data_args, "--data-arg")
        model = replace(model, info=model.info.model_copy(update={"data_args": typed_args}))
    task = make_task(options.task or model.info.task)
    with progress_display() as display:
        line = train_teacher(
            model,
            data,
            task,
            settings,
            path,
            seed=options.seed,
            device=options.device,
            display=display,
            output=options.output,
        )
    # A checkpoint names its data, a Hugging Face folder can't.
    named = [f"--data {data.source}", *(f"--data-arg {one}" for one in options.data_args)] if to_folder else []
    echo("\n".join((line, " ".join(("next: compress run --profile mobile-cpu", *named, str(path))))))


def _with_data(model: TorchModel, options: ModelOptions) -> tuple[TorchModel, Data]:
    """The network with a head for the data, and the data, in the order of the head's classes where it stays."""
    from compressor.data import fitted
    from compressor.data.labels import Places, class_names
    from compressor.factories.text_network import is_text_network
    from compressor.loading.huggingface import head_for

    # As if the network named no classes: those of the data alone, by which the head is judged.
    unnamed = replace(model, info=model.info.model_copy(update={"classes": ()}))
    data = options.load_data(unnamed)
    if not is_text_network(model.info.factory):
        # Where the classes are others, the network learns these at the outputs it has.
        places = Places(model.info.classes)
        others = any(places.get(name) is None for name in data.classes)
        return model, data if others else fitted(data, model.info)
    # Tags that don't occur may stay in the head; a class of texts that is never trained is of no use.
    lacking = len(model.info.classes) - len(data.classes)
    fits = class_names(data.classes, model.info.classes) == model.info.classes
    if fits and (not lacking or (data.classes and data.train.labels.dim() == 2)):
        data = options.load_data(model)
    model, note = head_for(model, data.classes, options.seed)
    if note:
        echo(f"note: {note}")
    return model, data


def train_settings(overrides: tuple[str, ...], info: ModelInfo | None = None) -> TrainSettings:
    """The training settings with ``train.epochs=20`` and the like on top; gentler ones for a pretrained text network.

    Raises:
        ProfileError: Listing every fault.
    """
    from pydantic import ValidationError

    from compressor.assignments import parse_assignments
    from compressor.factories.text_network import is_text_network
    from compressor.faults import sentences
    from compressor.training import FINE_TUNING, TrainSettings

    start = FINE_TUNING.model_dump() if info is not None and is_text_network(info.factory) else {}
    values = parse_assignments(overrides, "--set")
    try:
        typed = {key.removeprefix("train."): value for key, value in values.items()}
        return TrainSettings.model_validate({**start, **typed})
    except ValidationError as error:
        listed = "".join(f"\n  - {fault}" for fault in sentences(error, TrainSettings, "--set train"))
        raise ProfileError(f"the training settings have faults:{listed}", "--set train.epochs=20") from None


def _network(options: ModelOptions) -> TorchModel:
    import torch

    from compressor.assignments import parse_assignments
    from compressor.factories import build, parse_factory
    from compressor.models import ModelInfo, TorchModel

    if Path(options.model).exists() or ":" not in options.model:
        loaded = options.load_model()
        if not isinstance(loaded, TorchModel) or loaded.info.factory is None:
            raise InputError(f"{options.model} can't be trained and written again without its factory", "--factory")
        for note in loaded.info.notes:
            click.echo(f"note: {note}")
        return loaded
    torch.manual_seed(options.seed)
    factory = parse_factory(options.model, parse_assignments(options.factory_args, "--factory-arg"))
    return TorchModel(build(factory), ModelInfo(factory=factory))
