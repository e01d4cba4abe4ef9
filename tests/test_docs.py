"""The code in the pages is as the program is: commands parse, and the guide's stage passes the contract.

test_docs_commands.py runs the commands.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import digits
import pages
import pytest
import torch
from torch import nn

from compressor.context import RunContext, Teacher
from compressor.models import ModelInfo, TorchModel
from compressor.stage import Stage
from compressor.target import Target
from compressor.tasks import make_task
from compressor.testing import StageContract

ROOT = Path(__file__).parents[1]
# Records of what was typed at the time: their commands may be of their day.
RECORDS = {"docs/log.md", "docs/benchmarks.md", "docs/zoo.md"}
LANGUAGES = {"sh", "text", "python", "toml", "yaml", "json"}
PROGRAMS = {
    "compress",
    "python",
    "python3",
    "pip",
    "make",
    "scp",
    "ssh",
    "eval",
    "cat",
    "jq",
    "export",
    "tensorboard",
    "trackio",
}
KIT = ROOT / "compressor" / "export" / "kit"


def guide() -> dict[str, Any]:
    """The names that the guide's function and stage define."""
    names: dict[str, Any] = {"torch": torch, "nn": nn, "__name__": __name__}
    for block in pages.blocks("docs/writing_a_stage.md", "python")[:2]:
        exec(compile(block.text, "writing_a_stage.md", "exec"), names)
    return names


NAMES = guide()


class TestTheGuidesStage(StageContract):
    stage: Stage = NAMES["Shrink"](factor=0.5)

    def model(self) -> TorchModel:
        torch.manual_seed(0)
        return TorchModel(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), ModelInfo())

    def context(self, workdir: Path) -> RunContext:
        data, reference = digits.digits_data(), self.model()
        return RunContext(
            task=make_task("image-classification"),
            data=data,
            target=Target(runtime="onnxruntime"),
            reference=reference,
            teachers=(Teacher(reference),),
            workdir=workdir,
        )

    def test_halves_the_weights(self, tmp_path: Path) -> None:
        model = self.model()
        before = [parameter.clone() for parameter in model.module.parameters()]
        result = self.stage.run(model, self.context(tmp_path))
        weight, bias = result.model.module.parameters()  # type: ignore[union-attr]
        assert torch.equal(weight, before[0] * 0.5)
        assert torch.equal(bias, before[1])
        assert result.metrics == {"scaled": 1}


def test_commands_in_the_readme_are_all() -> None:
    from compressor.cli.main import COMMANDS

    assert set(re.findall(r"compress ([\w-]+)", (ROOT / "README.md").read_text())) == set(COMMANDS)


@pytest.mark.parametrize("page", pages.pages())
def test_commands_in_a_page_parse(page: str) -> None:
    wrong = []
    for block in pages.blocks(page):
        assert block.language in LANGUAGES, f"{page}: a block of {block.language or 'no language'}: {block.text}"
        for line in block.commands if block.language == "sh" else []:
            assert program(line) in PROGRAMS, line
            wrong += faults(line, whole=True)
    if page not in RECORDS:
        wrong += [fault for code in pages.inline(page) for fault in faults(code, whole=False)]
    assert not wrong


def program(line: str) -> str:
    """What a line calls, without the variable that takes what it prints."""
    return Path(re.sub(r"^[A-Z]+=\$\(", "", line).split()[0]).name


def faults(line: str, whole: bool) -> list[str]:
    """What can't be typed so."""
    found = []
    for typed in pages.calls(line):
        try:
            pages.parse(typed, whole)
        except click.ClickException as error:
            found.append(f"{line}: {error.format_message()}")
    script = re.match(r"python3? (?:\S*/)?((?:build_engine|infer)\.py)(.*)", line)
    if script:
        sources = [path.read_text() for path in KIT.glob(script[1].replace(".py", "*.py"))]
        found += [f"{line}: no {option}" for option in re.findall(r" (--[\w-]+)", script[2])
                  if not any(f'"{option}"' in source for source in sources)]  # fmt: skip
    tool = re.match(r"python3? (tools/\S+)", line)
    return found if tool is None or (ROOT / tool[1]).is_file() else [*found, f"{line}: no such file"]


@pytest.mark.parametrize("typed", ["rum", "run --profile", "run --profil=x --otu y", "profiles shwo", "pick"])
def test_a_command_that_is_not_one_is_found(typed: str) -> None:
    assert faults(f"compress {typed}", whole=True)


@pytest.mark.parametrize("page", [page for page in pages.pages() if page not in RECORDS])
def test_options_in_a_page_exist(page: str) -> None:
    """Options in sentences, where no command stands before them."""
    known = {option for command in commands() for one in command.params for option in one.opts}
    named = {word for code in pages.inline(page) for word in re.findall(r"^(--[a-z][\w-]+)", code)}
    scripts = {option for path in KIT.glob("*.py") for option in re.findall(r'"(--[\w-]+)"', path.read_text())}
    assert not named - known - scripts - {"--help", "--strict"}


def commands() -> list[click.Command]:
    """All commands, those of groups as well."""
    from compressor.cli.main import main

    ctx = click.Context(main)
    top = [main.get_command(ctx, name) for name in main.list_commands(ctx)]
    found = [one for one in top if one is not None]
    return found + [inner for one in found if isinstance(one, click.Group) for inner in one.commands.values()]


def test_what_is_not_run_says_why() -> None:
    """Blocks of commands that need another machine: they were parsed above with all the others."""
    left = [block for page in pages.pages() for block in pages.blocks(page, "sh") if not block.runs]
    assert left
    for block in left:
        assert len(block.remark.removeprefix(pages.NOT_RUN).split()) > 2, f"{block.page}: why?"
    remarks = {block.remark for page in pages.pages() for block in pages.blocks(page)} - {""}
    assert not [remark for remark in remarks if not remark.startswith((pages.NOT_RUN, "ends with "))]


def test_targets_of_make_exist() -> None:
    made = (ROOT / "Makefile").read_text()
    named = {line.split()[1] for page in pages.pages() for block in pages.blocks(page, "sh") for line in block.commands
             if program(line) == "make"}  # fmt: skip
    assert {"demo", "test"} <= named
    assert not {target for target in named if not re.search(rf"^{target}:", made, flags=re.MULTILINE)}


def test_exit_codes_in_the_readme_are_all() -> None:
    from compressor.errors import ExitCode

    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)}
    assert codes == set(ExitCode)


def test_profiles_in_the_readme_are_all() -> None:
    from compressor.profile import shipped_names

    section = (ROOT / "README.md").read_text().partition("## Profiles")[2].partition("##")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", section, flags=re.MULTILINE)) == set(shipped_names())


def test_floors_in_the_page_are_those_that_are_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    checked = [re.sub(r"[()]", "", layer) for layer in settings["contracts"][0]["layers"]]
    page = (ROOT / "docs" / "architecture.md").read_text().partition("## Floors")[2]
    drawn = page.split("```")[1].removeprefix("text").strip()
    written = [re.split(r"  +", line)[0] for line in drawn.splitlines()]
    assert written == [layer for layer in checked if layer != "__main__"]
