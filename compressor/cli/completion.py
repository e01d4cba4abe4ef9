"""``compress completion``: what a shell needs to complete commands, options and profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compressor.cli.printed import echo

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Set by the script that is printed, when it asks.
VARIABLE = "_COMPRESS_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash  eval "$(compress completion bash)", in ~/.bashrc
    zsh   eval "$(compress completion zsh)", in ~/.zshrc
    fish  compress completion fish > ~/.config/fish/completions/compress.fish
    """  # noqa: D301 -- click reads the character as "leave these lines as they are"
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    echo(made(ctx.find_root().command, {}, "compress", VARIABLE).source())


def profile_names(_ctx: click.Context, _option: click.Parameter, begun: str) -> list[CompletionItem]:
    """The shipped profiles that begin so, or files where none does."""
    from click.shell_completion import CompletionItem

    from compressor.profile import shipped_names

    names = [CompletionItem(name) for name in shipped_names() if name.startswith(begun)]
    return names or [CompletionItem(begun, type="file")]


PROFILE_OPTION = click.option(
    "--profile",
    required=True,
    metavar="NAME|FILE",
    help="What to build for: see compress profiles.",
    shell_complete=profile_names,
)
