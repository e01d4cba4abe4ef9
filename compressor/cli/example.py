"""``compress example``: the embedded example's teacher, trained in a minute."""

from pathlib import Path

import click

from compressor.cli.printed import echo

EPOCHS = 12


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, help="Seeds weights, data order and augmentation.")
@click.option("--epochs", default=EPOCHS, show_default=True, type=click.IntRange(min=1), help="Passes over the data.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
def example(file: Path, seed: int, epochs: int, device: str) -> None:
    """Train the embedded example's network on scikit-learn's digits and write its checkpoint to FILE."""
    from compressor.cli.options import check_writable
    from compressor.cli.progress import progress_display

    check_writable(file.parent)

    import torch

    from compressor.cli.teach import train_teacher
    from compressor.data.load import load_data
    from compressor.factories import build
    from compressor.factories.small_images import DIGITS_NET
    from compressor.models import ModelInfo, TorchModel
    from compressor.tasks import make_task
    from compressor.training import TrainSettings

    torch.manual_seed(seed)
    factory = DIGITS_NET
    model = TorchModel(build(factory), ModelInfo(factory=factory))
    data = load_data("digits", seed=seed)
    settings = TrainSettings(epochs=epochs, batch_size=64, crop=1)
    with progress_display() as display:
        line = train_teacher(
            model, data, make_task("image-classification"), settings, file, seed=seed, device=device, display=display
        )
    echo(f"{line}\nnext: compress run --profile mobile-cpu {file}")
