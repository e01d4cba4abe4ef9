"""What the pages give a reader to type: fenced blocks, the commands in them, and remarks about them.

A remark is an HTML comment above a block: ``not run: REASON`` for what needs another machine, ``ends with 2`` or
``ends with 0 or 6`` for commands that end with another exit code than 0.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from compressor.cli.main import main

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"(?:^<!-- ([^\n]*?) -->\n+)?^```([\w-]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
# Where a command begins: on a line, after another one, inside of $( ).
CALLED = re.compile(r"(?:^|[;&|] *|\$\()(?:[\w./]*/)?compress(?= |$)([^;&|>)]*)")
NOT_RUN = "not run: "


@dataclass(frozen=True)
class Block:
    """Fenced code of a page.

    Args:
        page: Its name from the repository's root.
        language: As it is marked.
        text: The code.
        remark: What the comment above it says.
    """

    page: str
    language: str
    text: str
    remark: str = ""

    @property
    def runs(self) -> bool:
        return not self.remark.startswith(NOT_RUN)

    @property
    def codes(self) -> set[int]:
        """The exit codes that its commands may end with."""
        said = re.fullmatch(r"ends with (\d+)(?: or (\d+))?", self.remark)
        return {int(code) for code in said.groups() if code} if said else {0}

    @property
    def commands(self) -> list[str]:
        """Its lines, those that go on joined, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


def pages() -> list[str]:
    """README, docs and the examples' pages, from the repository's root."""
    found = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("examples/*/README.md"))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def blocks(page: str, language: str = "") -> list[Block]:
    """The fenced blocks of a page, in order; those of one language."""
    found = [Block(page, match[2], match[3], match[1] or "") for match in FENCED.finditer((ROOT / page).read_text())]
    return [block for block in found if language in ("", block.language)]


def inline(page: str) -> list[str]:
    """The code inside of sentences and tables."""
    prose = FENCED.sub("", (ROOT / page).read_text())
    return [code.replace("\\|", "|") for code in re.findall(r"`([^`\n]+)`", prose)]


def calls(line: str) -> list[list[str]]:
    """What is typed after ``compress`` in a line of a shell, word by word."""
    return [shlex.split(rest, comments=True) for rest in CALLED.findall(line)]


def parse(typed: Sequence[str], whole: bool = True) -> None:
    """Read a command's words as the command line does, without doing anything.

    Args:
        typed: What follows ``compress``.
        whole: Arguments and options that a command can't do without must be there.

    Raises:
        click.UsageError: There is no such command or option, or one lacks its value.
    """
    command: click.Command = main
    ctx, words = click.Context(main, info_name="compress"), list(typed)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(ctx, words)
        assert found is not None
        command, ctx = found, click.Context(found, info_name=name, parent=ctx)
    if "--help" in words:
        return
    if whole:
        command.make_context(ctx.info_name, words, parent=ctx.parent)
    else:
        command.make_parser(ctx).parse_args(words)
