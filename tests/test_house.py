"""House rules that no linter knows: sizes, names, the mirror of tests, links, and what must not be written."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "compressor"
LONGEST = 300
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base"}

# Modules without a test file of their own, and where they are tested.
TESTED_ELSEWHERE = {
    "__main__": "test_house.py starts `python -m compressor`",
    "api": "test_examples.py calls it as a user does",
    "assignments": "cli/test_options.py",
    "export/candidates": "export/test_stage.py chooses among them",
    "data/same_samples": "data/test_fitting.py and data/test_unlabeled.py: both kinds inherit from it",
    "data/rows": "data/test_tables.py and data/test_saved_dataset.py read every kind",
    "distill/stage": "test_stage_contract.py",
    "distill/recover_stage": "test_stage_contract.py",
    "explain/costs": "explain/test_explanation.py",
    "explain/file_rules": "explain/test_explanation.py",
    "explain/finding": "explain/test_explanation.py",
    "explain/integer_rules": "explain/test_explanation.py",
    "explain/time_rules": "explain/test_explanation.py",
    "report/searched": "values only; report_html/test_front.py and report_html/test_sensitivity.py show them",
    "report/stages": "values only; report/test_init.py",
    "report_html/compare": "test_comparison.py writes the page",
    "report_html/written": "report_html/test_init.py reads what it writes",
    "cli/explain": "explain/test_explanation.py",
    "faults": "test_profile.py",
    "graphs/tensors": "graphs/test_folding.py and graphs/test_branches.py",
    "pipeline/control": "pipeline/test_run.py",
    "pipeline/job": "pipeline/test_plan.py",
    "pipeline/loop": "pipeline/test_run.py",
    "pipeline/step": "pipeline/test_run.py, and pipeline/search/test_search.py what is taken over from a search",
    "pipeline/search/moves": "pipeline/search/test_path.py",
    "pipeline/search/work": "pipeline/search/test_search.py",
    "distill/settings": "values only; its one rule in distill/test_terms.py",
    "loading/pretrained": "loading/test_huggingface.py and loading/test_image_folder.py",
    "models": "values only",
    "target": "values only; read by test_profile.py",
    "prune/graph/call": "prune/graph/test_follow.py: every kind of network",
    "prune/graph/cut": "prune/graph/test_follow.py",
    "prune/graph/groups": "prune/test_channels.py and prune/test_importance.py",
    "prune/graph/movement": "prune/graph/test_follow.py",
    "prune/graph/pieces": "prune/graph/test_follow.py",
    "prune/graph/rules": "prune/graph/test_follow.py",
    "prune/graph/trace": "prune/graph/test_tracing.py",
    "runners/protocol": "a protocol",
    "stage": "test_stage_contract.py",
    "stage_tables": "test_profile.py",
    "tasks/texts": "tasks/test_modality.py",
    "cli/lazy": "cli/test_main.py",
    "cli/plan": "cli/test_run.py: both take the same options",
    "cli/teach": "cli/test_train.py",
}


def tracked(*patterns: str) -> list[Path]:
    """The project's files: what git has or would take; everything, outside a checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(path for path in (ROOT / line for line in listed.splitlines()) if path.is_file())


def modules() -> list[str]:
    """Every module of the package but the ``__init__`` files, as ``prune/importance``."""
    paths = (path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    return sorted(str(path.relative_to(PACKAGE).with_suffix("")) for path in paths)


def test_no_file_is_too_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in tracked("*.py", "*.pyi")}
    assert lengths
    long = {str(path.relative_to(ROOT)): count for path, count in lengths.items() if count > LONGEST}
    assert not long


def test_no_attics() -> None:
    named = [path for path in tracked("*.py") if path.stem in BANNED_NAMES or path.parent.name in BANNED_NAMES]
    assert not named


def test_tests_mirror_the_package() -> None:
    missing = []
    for module in modules():
        path = Path(module)
        if module not in TESTED_ELSEWHERE and not (ROOT / "tests" / path.parent / f"test_{path.name}.py").exists():
            missing.append(module)
    listed = ", ".join(missing)
    assert not listed, f"no tests/…/test_<name>.py, and not in TESTED_ELSEWHERE: {listed}"


def test_exceptions_from_the_mirror_are_needed() -> None:
    assert set(TESTED_ELSEWHERE) <= set(modules()), "a module in the list is gone"
    superfluous = [
        module
        for module in TESTED_ELSEWHERE
        if (ROOT / "tests" / Path(module).parent / f"test_{Path(module).name}.py").exists()
    ]
    assert not superfluous


def test_links_in_pages_resolve() -> None:
    broken = []
    for page in tracked("*.md"):
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            there = page.parent / name if name else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_nothing_is_about_one_machine() -> None:
    # Put together here, so that this file doesn't hold them.
    words = [rf"/{'work'}/(main|shared)", rf"/{'home'}/\w+/", rf"/{'root'}/", rf"/{'tmp'}/\w"]
    found = []
    for path in tracked("*.py", "*.pyi", "*.md", "*.toml", "*.txt", "*.j2", "*.yaml", "Makefile", ".ci/*"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            found += [f"{path.relative_to(ROOT)}:{number}: {line.strip()}" for word in words if re.search(word, line)]
    assert not found


def test_every_optional_dependency_says_what_uses_it() -> None:
    silent = []
    inside = False
    for line in (ROOT / "pyproject.toml").read_text().splitlines():
        if line.startswith("["):
            inside = line == "[project.optional-dependencies]"
        elif inside and line.startswith('    "') and not re.search(r"#.*\w", line):
            silent.append(line.strip())
    allowed = {"mypy", "pytest", "pytest-randomly", "pytest-xdist", "ruff"}
    assert not [line for line in silent if re.split(r"[>=\[]", line.strip('",'))[0] not in allowed]


def test_pins_are_within_the_bounds() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    bounds = {canonicalize_name(r.name): r.specifier for r in map(Requirement, wanted)}
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] not in "# "]
    assert len(pins) > 20
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert bounds.get(canonicalize_name(pin.name), Requirement("x").specifier).contains(exact.version), pin


@pytest.mark.parametrize("command", [["-m", "compressor"], ["-c", "from compressor.cli.main import main; main()"]])
def test_starts_as_a_process(command: list[str]) -> None:
    result = subprocess.run([sys.executable, *command, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "compress example digits.pt" in result.stdout
