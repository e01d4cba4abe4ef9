# demo, test, check, docs: each makes .venv and installs what it needs; a machine needs make and Python 3.11 or later.
#   make PY=python3.11 test     another interpreter
#   make WORKERS=4 test         more test processes

PY ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
# 1,294 training images make ten steps an epoch: more passes than a real data set needs. Exit code 6 is a missed
# budget, which a test split of 360 images can't tell from a kept one.
TINY := --set distill.train.epochs=24 --set prune.train.epochs=24 --set quantize.train.epochs=6
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check docs lint types imports clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	test -f digits.pt || $(BIN)/compress example digits.pt
	$(BIN)/compress run --profile mobile-cpu digits.pt --out runs/demo $(TINY) || test $$? -eq 6

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not latency and not slow and not gpu"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p no:xdist -m "latency and not slow and not gpu"

check: lint types imports

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

imports: $(VENV)/installed-dev
	$(BIN)/lint-imports --no-logo

# The variable silences what the theme says of a MkDocs to come; constraints.txt pins the one that is used.
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# torch goes first and by its pins: resolved together with the rest, pip could take another build of it.
$(VENV)/torch: constraints.txt
	test -x $(BIN)/python || $(PY) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit("Python 3.11 or later is needed, try make PY=python3.11") if sys.version_info < (3, 11) else None'
	$(PIP) $$(grep -E '^(torch|torchvision)==' constraints.txt)
	touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(PIP) -e '.[vision]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e '.[dev]'
	touch $@
