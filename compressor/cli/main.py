"""The entry point, and the one place where an exception becomes a message and an exit code."""

import errno
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from compressor.cli.lazy import LazyGroup
from compressor.errors import CompressError, DiskFullError, ExitCode, InputError

COMMANDS = {
    "example": ("compressor.cli.example:example", "Train the embedded example's network and write its checkpoint."),
    "train": ("compressor.cli.train:train", "Train or fine-tune a network, to be the teacher."),
    "plan": ("compressor.cli.plan:plan", "Check a run without training anything."),
    "run": ("compressor.cli.run:run", "Distil, prune, quantize and export a trained model."),
    "tune-kd": ("compressor.cli.tune:tune_kd", "Try distillation objectives and say which one helps."),
    "measure": ("compressor.cli.measure:measure", "Measure any model file: size, compute, latency, score."),
    "profiles": ("compressor.cli.profiles:profiles", "List, show, copy and check profiles."),
    "stages": ("compressor.cli.stages:stages", "List the stages and show their settings."),
}
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Root(LazyGroup):
    """The command group with the error boundary around it."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **settings: Any) -> NoReturn:
        """Run a command line and exit with its code."""
        typed = list(sys.argv[1:] if args is None else args)
        settings |= {"standalone_mode": False, "prog_name": "compress", "obj": shlex.join(["compress", *typed])}
        try:
            code = super().main(typed, *rest, **settings)
        except CompressError as error:
            code = _tell(error)
        except click.ClickException as error:
            error.show()
            code = ExitCode.INPUT
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted; what is finished is kept: run again to go on", err=True)
            code = ExitCode.INTERRUPTED
        except OSError as error:
            code = _tell_os(error)
        except Exception:
            traceback.print_exc()
            click.echo("this is a bug in compress; please report it with the lines above", err=True)
            code = ExitCode.BUG
        sys.exit(int(code or 0))


def _tell(error: CompressError) -> ExitCode:
    click.echo(f"error: {error.message}", err=True)
    if error.hint:
        click.echo(f"  try: {error.hint}", err=True)
    return error.exit_code


def _tell_os(error: OSError) -> ExitCode:
    if error.errno == errno.ENOSPC:
        where = f" while writing {error.filename}" if error.filename else ""
        return _tell(DiskFullError(f"no space left on the device{where}", "free some space and run again to go on"))
    if error.errno in DENIED:
        return _tell(InputError(f"{error.strerror}: {error.filename}", "another --out, or other permissions"))
    traceback.print_exc()
    return ExitCode.BUG


def _show_version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"compress {version('compressor')}")
        except PackageNotFoundError:
            click.echo("compress, from a checkout that is not installed")
        ctx.exit()


@click.group(
    cls=Root,
    commands_at=COMMANDS,
    epilog="Start with: compress example digits.pt",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def main() -> None:
    """Make trained networks small and fast: distil, prune, quantize, export, measured at every stage."""
