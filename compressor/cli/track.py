"""``--track``: which experiment trackers follow a command."""

from __future__ import annotations

from importlib.util import find_spec

import click

# Written where its package is installed and nobody said otherwise: it needs no server and no account.
UNASKED = "tensorboard"

TRACK_OPTION = click.option(
    "--track",
    multiple=True,
    metavar="NAME",
    help="Log metrics, parameters and files to tensorboard, mlflow, wandb or trackio, each by its own environment "
    "variables; none for none. Without it TensorBoard's files are written to the run's folder, if it is installed.",
)


def trackers_of(typed: tuple[str, ...]) -> tuple[str, ...]:
    """The trackers that were asked for, else TensorBoard where it is installed.

    Raises:
        InputError: There is no such tracker, or ``none`` isn't alone.
        MissingError: Its package isn't installed.
    """
    if not typed:
        return (UNASKED,) if find_spec(UNASKED) else ()
    from compressor.training.trackers import check_names

    return check_names(typed)
