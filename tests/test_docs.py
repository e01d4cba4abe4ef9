"""The code in the pages runs: what the guide tells a plug-in author to write passes the contract."""

import re
import tomllib
from pathlib import Path
from typing import Any

import digits
import torch
from torch import nn

from compressor.context import RunContext, Teacher
from compressor.models import ModelInfo, TorchModel
from compressor.stage import Stage
from compressor.target import Target
from compressor.tasks import make_task
from compressor.testing import StageContract

ROOT = Path(__file__).parents[1]


def blocks(page: Path, language: str = "python") -> list[str]:
    """The fenced code of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def guide() -> dict[str, Any]:
    """The names that the guide's function and stage define."""
    names: dict[str, Any] = {"torch": torch, "nn": nn, "__name__": __name__}
    function, stage = blocks(ROOT / "docs" / "writing_a_stage.md")[:2]
    for code in (function, stage):
        exec(compile(code, "writing_a_stage.md", "exec"), names)
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


def test_commands_in_the_readme_exist() -> None:
    from compressor.cli.main import COMMANDS

    named = set(re.findall(r"compress ([\w-]+)", (ROOT / "README.md").read_text()))
    assert named == set(COMMANDS)


def test_options_in_the_readme_exist() -> None:
    from click.testing import CliRunner

    from compressor.cli.main import COMMANDS, main

    helps = "".join(CliRunner().invoke(main, [name, "--help"]).output for name in COMMANDS)
    named = set(re.findall(r"`(--[a-z][\w-]+)|(?<= )(--[a-z][\w-]+)", (ROOT / "README.md").read_text()))
    options = {one or other for one, other in named}
    assert len(options) > 8
    assert not {option for option in options if option not in helps}


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
    drawn = page.split("```")[1].strip()
    written = [re.split(r"  +", line)[0] for line in drawn.splitlines()]
    assert written == [layer for layer in checked if layer != "__main__"]
