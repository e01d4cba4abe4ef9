"""The entry point, and the one place where an exception becomes a message and an exit code."""

import errno
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NoReturn

import click

from compressor.cli.child import can_watch, watched, where
from compressor.cli.completion import VARIABLE
from compressor.cli.death import KEPT, bury, show_error
from compressor.cli.lazy import LazyGroup
from compressor.cli.printed import clean, standard_output_kept
from compressor.errors import CompressError, DiskFullError, ExitCode, InputError, OutOfMemoryError, StageError
from compressor.memory import is_out_of_memory, of_limit
from compressor.passwords import masked
from compressor.user_code import line_of

COMMANDS = {
    "example": ("compressor.cli.example:example", "Train the embedded example's network and write its checkpoint."),
    "train": ("compressor.cli.train:train", "Train or fine-tune a network, to be the teacher."),
    "plan": ("compressor.cli.plan:plan", "Check a run without training anything."),
    "run": ("compressor.cli.run:run", "Distil, prune, quantize and export a trained model."),
    "search": ("compressor.cli.search:search", "The same as run, with a night's time: a wider search, and baselines."),
    "tune-kd": ("compressor.cli.tune:tune_kd", "Try distillation objectives and say which one helps."),
    "measure": ("compressor.cli.measure:measure", "Measure any model file: size, compute, latency, score."),
    "gate": ("compressor.cli.gate:gate", "Fail where a file grew, slowed or lost score: for CI."),
    "pick": ("compressor.cli.pick:pick", "Take another file of a run's search, without training."),
    "compare": ("compressor.cli.compare:compare", "Several runs as one table and one page."),
    "verify": ("compressor.cli.verify:verify", "Check a run's files, networks and score against what it says."),
    "explain": ("compressor.cli.explain:explain", "Why a file is not smaller or faster, and what would change it."),
    "doctor": ("compressor.cli.doctor:doctor", "What this machine can do, and a self-test."),
    "completion": ("compressor.cli.completion:completion", "Print what bash, zsh or fish need to complete commands."),
    "profiles": ("compressor.cli.profiles:profiles", "List, show, copy and check profiles."),
    "stages": ("compressor.cli.stages:stages", "List the stages and show their settings."),
}
# Commands that run networks, and may be killed by what those do.
WORKING = {"example", "train", "plan", "run", "search", "tune-kd", "measure", "gate", "verify", "doctor"}
LONGEST_SHOWN = 200
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Root(LazyGroup):
    """The command group with the error boundary around it."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **settings: Any) -> NoReturn:
        """Run a command line and exit with its code; as a program, the work is done in a process of its own."""
        typed = list(sys.argv[1:] if args is None else args)
        if VARIABLE in os.environ:
            # A shell asks what could follow; click answers, and ends.
            super().main(typed, *rest, **{**settings, "prog_name": "compress", "complete_var": VARIABLE})
        settings |= {"standalone_mode": False, "prog_name": "compress", "obj": masked(shlex.join(["compress", *typed]))}

        def command() -> Any:
            _check_text(typed)
            with standard_output_kept() if "--json" in typed else nullcontext():
                return super(Root, self).main(typed, *rest, **settings)

        def work() -> int:
            return _bounded(command)

        # With arguments it is called from Python, by a test or a script, whose memory it shares.
        if args is None and typed[:1] and typed[0] in WORKING and can_watch():
            sys.exit(watched(work, bury))
        sys.exit(work())


def _bounded(command: Callable[[], Any]) -> int:
    """The exit code of a command, whatever way it ends."""
    try:
        code = command()
    except CompressError as error:
        code = show_error(_no_memory(error) if is_out_of_memory(error) else error)
    except click.ClickException as error:
        error.message = clean(masked(error.message))  # type: ignore[misc]
        error.show()
        code = ExitCode.INPUT
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"interrupted; {KEPT}", err=True)
        code = ExitCode.INTERRUPTED
    except SystemExit as error:
        # No command of ours raises it: the code of a network, a loader or a plug-in does.
        message = f"code that is not compress's ended the process (sys.exit({error.code!r})){_at_line(error)}"
        code = show_error(StageError(message, "a network and data whose code raises an error instead"))
    except OSError as error:
        code = show_error(_no_memory(error)) if is_out_of_memory(error) else _tell_os(error)
    except Exception as error:
        if is_out_of_memory(error):
            return show_error(_no_memory(error))
        if isinstance(error, ValueError) and "embedded null" in str(error):
            return show_error(InputError("a file's name holds a NUL, which no file system takes", "another name"))
        click.echo(masked(traceback.format_exc()), err=True, nl=False)
        click.echo("this is a bug in compress; please report it with the lines above", err=True)
        code = ExitCode.BUG
    return int(code or 0)


def _no_memory(error: BaseException) -> OutOfMemoryError:
    at = f" in {where()}" if where() else ""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return OutOfMemoryError(
        f"no memory was left{at} ({of_limit()}): {said}",
        f"a smaller train.batch_size or quantize.calibration_batch_size, or a machine with more memory; {KEPT}",
    )


def _at_line(error: BaseException) -> str:
    line = line_of(error)
    return f" at {line}" if line else ""


def _check_text(typed: Sequence[str]) -> None:
    """Refuse arguments that aren't text: their bytes could be neither printed nor written into a report."""
    for text in typed:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"'{masked(text)}' is not UTF-8", "a name of the file in UTF-8: mv it, or link to it"
            ) from None


def _tell_os(error: OSError) -> ExitCode:
    if error.errno == errno.ENOSPC:
        place = f" while writing {error.filename}" if error.filename else ""
        return show_error(
            DiskFullError(f"no space left on the device{place}", "free some space and run again to go on")
        )
    if isinstance(error, BrokenPipeError):
        # Whoever read the output is gone; what is left in the buffer goes nowhere, and quietly.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return ExitCode.INPUT
    if error.filename is not None:
        name = str(error.filename)
        shown = name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}..."
        hint = "another --out, or other permissions" if error.errno in DENIED else "another name, or what is in its way"
        return show_error(InputError(f"{error.strerror}: {shown}", hint))
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
