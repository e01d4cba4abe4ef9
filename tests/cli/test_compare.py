"""``compress compare`` as it is typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from written_runs import write_run

from compressor.cli.main import main
from compressor.report import Report


def compare(*typed: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, typed)])


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    made = [write_run(Path(name), layers) for name, layers in (("small", 2), ("large", 5))]
    for run in made:
        report = Report.read(run / "report.json")
        first = report.stages[0].model_copy(update={"name": "00-reference", "size_bytes": 10**5, "score_drop": None})
        whole = report.model_copy(update={"stages": [first, *report.stages]})
        (run / "report.json").write_text(whole.model_dump_json())
    return made


def test_a_table_a_page_and_json(runs: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "compared.html"
    found = compare(*runs, "--html", page)
    assert found.exit_code == 0, found.output
    rows = {line.split()[0]: line for line in found.output.splitlines() if line.strip()}
    assert rows["small"].rstrip().endswith("yes") and not rows["large"].rstrip().endswith("yes")
    assert "<table" in page.read_text()
    told = json.loads(compare(*runs, "--json").stdout)
    assert [run["on_front"] for run in told["runs"]] == [True, False]


def test_what_is_typed_wrong(runs: list[Path], tmp_path: Path) -> None:
    for typed, said in (
        ((runs[0],), "wanted at least 2"),
        ((runs[0], tmp_path / "nothing"), "no file"),
        ((*runs, "--html", tmp_path), "wanted a file"),
        ((*runs, "--html", tmp_path / "no" / "page.html"), "wanted a file"),
    ):
        found = compare(*typed)
        assert found.exit_code == 2 and said in found.output, found.output
