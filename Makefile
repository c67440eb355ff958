# The two commands of the README are `make demo` and `make test`; each sets up what it needs.
# Another Python: make test PYTHON=python3.13 VENV=.venv313

PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Bytecode is kept, or else each process that the tests start compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Two workers suit two cores. Each begins with one half of the tests, so that what the tests of a file
# share is made once, and takes from the other when it is done.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: help demo report explore test test-all lint docs figures wheel wheel-test bench clean

help:
	@echo "make demo   train on real handwritten digits and draw what was learned"
	@echo "make report, make explore   measure that run; open it in the browser (RUN=runs/digits-vae)"
	@echo "make test   lint, types, import contract, tests, most README examples"
	@echo "make test-all   the same, with the slow tests and all cases"
	@echo "make lint   lint, types, import contract"
	@echo "make docs   build the documentation into site/"
	@echo "make figures   draw every figure of the documentation anew, from runs trained for it"
	@echo "make wheel  build a wheel into dist/; make wheel-test runs the tests from it alone"
	@echo "make bench  measure speed and write benchmarks/RESULTS.md"

$(BIN)/python:
	$(if $(PYTHON),,$(error no Python 3.11 or newer found: pass PYTHON=...))
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing packages, which takes a minute or more"
	$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing packages, which takes some minutes"
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.base

$(VENV)/.explore: $(VENV)/.base
	$(INSTALL) -e '.[explore]'
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(INSTALL) -e '.[docs]'
	@touch $@

demo: $(VENV)/.base
	$(BIN)/workshop train $(ARGS)

RUN ?= runs/digits-vae

report: $(VENV)/.base
	$(BIN)/workshop evaluate $(RUN) $(ARGS)

explore: $(VENV)/.explore
	$(BIN)/workshop explore $(RUN) $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

# pyright uses one core: beside the tests it delays them less than before them.
test: $(VENV)/.dev
	@$(MAKE) --no-print-directory lint & lint=$$!; \
	$(PYTEST) --doctest-modules tests src; tests=$$?; \
	wait $$lint || { echo "make lint failed: see above"; exit 1; }; exit $$tests

# With the tests and cases that `make test` leaves out.
test-all: lint
	$(PYTEST) -m "" --hypothesis-profile thorough --doctest-modules tests src

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

$(VENV)/.figures: $(VENV)/.base
	$(INSTALL) -e '.[mnist5k,explore,browser]'
	@touch $@

# More than an hour on two cores. Some of them: make figures ARGS="--only vae beta --runs FOLDER"
figures: $(VENV)/.figures
	$(BIN)/python docs/figures.py $(ARGS)

wheel: | $(BIN)/python
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

# The tests as somebody has them who installed the wheel: an environment of their own outside of the
# checkout, of which they have nothing but tests/. Fewer: make wheel-test TESTS=tests/test_hub.py
TESTS ?= --doctest-modules tests ../venv/lib/python3*/site-packages/workshop

wheel-test: wheel
	set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(PYTHON) -m venv "$$folder/venv"; \
	"$$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt "$$(echo $(CURDIR)/dist/*.whl)[dev]"; \
	mkdir "$$folder/apart"; cp -r tests pyproject.toml "$$folder/apart"; cd "$$folder/apart"; \
	unset PYTHONPATH; \
	../venv/bin/python -c 'import sys, workshop; assert workshop.__file__.startswith(sys.prefix)'; \
	../venv/bin/workshop --help > /dev/null; \
	../venv/bin/python -m pytest -n 2 --dist worksteal $(TESTS)

# Peers of the benchmark, in environments of their own. artifex has requirements that exclude others,
# one of them a newer Python; where it can't be installed the results say so.
PEERS := .venv-peers
ARTIFEX := .venv-artifex
ARTIFEX_PYTHON ?= $(firstword $(shell for p in python3.13 python3.12; do \
	$$p -c '' 2>/dev/null && echo $$p; done) $(PYTHON))

$(PEERS)/.installed: benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	@touch $@

$(ARTIFEX)/.tried:
	-$(ARTIFEX_PYTHON) -m venv $(ARTIFEX) && $(ARTIFEX)/bin/python -m pip install --quiet \
		--disable-pip-version-check avitai-artifex==0.1.15
	@mkdir -p $(ARTIFEX) && touch $@

bench: $(VENV)/.base $(PEERS)/.installed $(ARTIFEX)/.tried
	$(BIN)/python benchmarks/run.py --torch $(PEERS)/bin/python --artifex $(ARTIFEX)/bin/python

clean:
	rm -rf $(VENV) $(PEERS) $(ARTIFEX) site build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
