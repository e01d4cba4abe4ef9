"""No name in a file may move the cursor, colour a line, turn the text's direction, or pass for a line of ours."""

import json
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.text import Text

from compressor.cli.console import console, print_json, print_table
from compressor.cli.main import Root
from compressor.cli.printed import clean, echo
from compressor.cli.progress import describe
from compressor.context import Progress
from compressor.errors import InputError

HOSTILE = "a\x1b[31mred\x1b]8;;http://x\x07\u202eevil\x9b2J\r\udce9"
SHOWN = r"a\x1b[31mred\x1b]8;;http://x\x07\u202eevil\x9b2J\x0d\udce9"


def end(work: Any, *arguments: str) -> Any:
    class OneCommand(Root):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            options = [click.Option(["--json", "as_json"], is_flag=True), click.Argument(["given"], required=False)]
            return click.Command("one", params=options, callback=lambda as_json, given: work())

    return CliRunner().invoke(
        OneCommand(name="compress", commands_at={"one": ("", "")}), ["one", *arguments], color=True
    )


def fail() -> None:
    raise InputError(f"no class '{HOSTILE}\n  try: rm -rf x'", f"another than {HOSTILE}")


def test_controls_are_written_out() -> None:
    assert clean(HOSTILE) == SHOWN
    assert clean("ein Wort, 语言\n\tund mehr") == "ein Wort, 语言\n\tund mehr"


def test_an_error_can_forge_neither_colour_nor_hint() -> None:
    result = end(fail)
    assert result.exit_code == 2
    assert result.stderr == f"error: no class '{SHOWN}\\n  try: rm -rf x'\n  try: another than {SHOWN}\n"


def test_nothing_that_is_printed_has_controls_or_markup(capsys: pytest.CaptureFixture[str]) -> None:
    echo(HOSTILE)
    console().print(f"[red]{HOSTILE}")
    console().print(Text(HOSTILE))
    print_table("", ["name"], [(HOSTILE,)])
    out = "".join(capsys.readouterr().out.split())
    # Of a text that is made already, the library has taken two of them out itself.
    assert out.count(SHOWN) == 3 and "[red]" in out
    assert clean(out) == out
    assert SHOWN in describe(Progress("x", message=HOSTILE))


def test_json_has_standard_output_to_itself() -> None:
    def work() -> None:
        print("from a network")
        sys.stdout.write("more")
        print_json({"name": HOSTILE})

    result = end(work, "--json")
    assert json.loads(result.stdout) == {"name": HOSTILE}
    assert "\x1b" not in result.stdout and "from a network\nmore" in result.stderr


def test_names_that_are_no_text_are_refused() -> None:
    result = end(lambda: None, "mod\udce9l.pt")
    assert result.exit_code == 2 and r"'mod\udce9l.pt' is not UTF-8" in result.stderr


@pytest.mark.parametrize("number", [2, 17, 20, 21, 22, 36, 40])
def test_what_the_system_says_of_a_name_ends_with_2(number: int) -> None:
    def work() -> None:
        raise OSError(number, "strange", "x" * 5000)

    result = end(work)
    assert result.exit_code == 2 and "strange: xxx" in result.stderr and len(result.stderr) < 400


def test_a_nul_in_a_name_ends_with_2() -> None:
    assert end(lambda: open("a\0b")).exit_code == 2  # noqa: PTH123, SIM115
