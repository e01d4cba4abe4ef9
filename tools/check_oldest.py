"""Whether what pyproject.toml calls enough is enough: the tests on the oldest versions that it admits.

python tools/check_oldest.py FOLDER              # makes FOLDER/venv once, some GB, and runs the quick tests in it
python tools/check_oldest.py FOLDER tests/graphs # or these

Development tools (pytest, ruff, ...) stay at the versions of constraints.txt.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("vision", "hf", "parquet", "tune")
BOUND = re.compile(r"([\w.-]+)(?:\[[^]]*\])?>=([\w.]+)")


def oldest() -> list[str]:
    """``torch==2.11.*`` of every requirement that has a lower bound, but for development's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    found = [match for line in wanted if (match := BOUND.match(line))]
    # "5" means 5.0, and of a minor release any patch will do.
    return [f"{match[1]}=={match[2]}{('.0.*', '.*', '')[min(2, match[2].count('.'))]}" for match in found]


def main() -> None:
    """Exit code as pytest's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tests", nargs="*", default=["tests"])
    parser.add_argument("--print", action="store_true", help="only say which versions")
    typed = parser.parse_args()
    versions = oldest()
    print("\n".join(versions), flush=True)
    if typed.print:
        return
    python = typed.folder / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", typed.folder / "venv"], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # torch first and alone, as in the Makefile: resolved together with the rest pip may take another build of it.
    torch = [one for one in versions if one.startswith(("torch==", "torchvision=="))]
    subprocess.run([*pip, *torch], check=True)
    subprocess.run([*pip, *versions, *_development()], check=True)
    subprocess.run([*pip, "--no-deps", "-e", str(ROOT)], check=True)
    # Old libraries warn of one another.
    calm = ["-W", "ignore::DeprecationWarning", "-W", "ignore::FutureWarning"]
    command = [python, "-m", "pytest", "-q", "-m", "not latency and not slow and not gpu", *calm, *typed.tests]
    sys.exit(subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode)


def _development() -> list[str]:
    """What the tests themselves need."""
    names = {"pytest", "pytest-randomly", "pytest-xdist", "hypothesis", "tensorrt_rtx"}
    names |= {"playwright", "axe-playwright-python"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line.partition("==")[0] in names]


if __name__ == "__main__":
    main()
