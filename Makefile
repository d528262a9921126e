# Every command of the project. `make` alone lists them; each makes .venv when it is missing.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

# The interpreter that .venv is made with: 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONSTRAINTS := $(wildcard deploy/constraints.txt)
# What is given to pytest, or to `shotline up`, besides.
ARGS ?=
LAST_TAG = $(shell git describe --tags --abbrev=0 2>/dev/null)

.PHONY: help install demo up test test-long check bench generate clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

install: $(READY) ## make .venv with everything that development needs
	@echo "ready: . $(BIN)/activate"

demo: $(READY) ## a story of an editor, a crash and a conflict, with real processes; it checks itself
	@$(BIN)/python -m services.local.demo

up: $(READY) ## start everything on this machine; ARGS="--root ~/films" for other folders
	@$(BIN)/shotline up $(ARGS)

test: $(READY) ## all tests but the long ones; ARGS="-k etag" for some
	$(BIN)/python -m pytest -m "not long" $(ARGS)

test-long: $(READY) ## the long form of the proofs: more kills, more edits, more inputs
	$(BIN)/python -m pytest -m long $(ARGS)

check: $(READY) ## lint, format, types, contracts, generated code, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/buf lint protos
	$(BIN)/buf format protos --diff --exit-code
	$(if $(LAST_TAG),$(BIN)/buf breaking protos --against '.git#tag=$(LAST_TAG)$(comma)subdir=protos')
	$(BIN)/python protos/generate.py --check
	$(BIN)/lint-imports --no-cache

bench: $(READY) ## measure against the Node incumbent and write BENCHMARKS.md; BENCH_SMALL=1 only tries that it works
	$(BIN)/python -m tests.bench.bench $(if $(BENCH_SMALL),--small,--write)

generate: $(READY) ## generate the Python code of the contracts
	$(BIN)/python protos/generate.py

clean: ## remove .venv and everything that tools left
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/e2e/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not Python 3.11 or newer: make PYTHON=/path/to/one" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { echo "python3 -m venv does not work: on Debian, apt install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix -c ,$(CONSTRAINTS)) -e '.[dev]'
	@touch $@

comma := ,
