# What people type. Everything happens in .venv; nothing else is needed but Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STATE := $(CURDIR)/build/demo-state

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench chaos wheel lock clean

help: ## Say what can be made.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The stamp is newer than the lock and the project file, or the environment is made again.
$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Proctor needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

install: $(VENV)/installed ## Make the environment in .venv.

demo: install ## Run a sample campaign on a cpu, a highmem and a gpu-tagged worker.
	$(BIN)/proctor run --state $(STATE) --directory tests/sample \
	  --fleet-class cpu:slots=2 --fleet-class highmem:slots=1 --fleet-class gpu:slots=1,gpu=1,simulated

test: install ## Run all tests.
	$(BIN)/python -m pytest

check: install ## Lint, types and import contracts: what CI runs first.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: install ## Measure ourselves beside plain pytest and pytest-xdist.
	$(BIN)/python tests/bench/bench.py

chaos: install ## Run 200 seeded schedules of faults on real processes; goes on where it was stopped.
	$(BIN)/python tests/bench/chaos.py --results build/chaos.jsonl

wheel: install ## Build the wheel into dist/.
	$(BIN)/python -m build --wheel --outdir dist .

lock: ## Resolve all dependencies anew into requirements.lock.
	$(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --no-header \
	  --no-annotate --all-extras --output-file requirements.lock pyproject.toml

clean: ## Remove everything that was made here.
	rm -rf $(VENV) build dist *.egg-info
