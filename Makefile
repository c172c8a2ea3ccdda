# Denda's commands; `make help` explains them. Everything made lands in .venv, gen, node_modules and .denda.

# The first Python that is new enough; say `make setup PYTHON=/path/to/python` to choose another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
    command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
    { echo $$p; break; }; done)
BIN := .venv/bin
PROTOS := $(shell find proto -name '*.proto' 2>/dev/null)
# Where npm is missing, the one from PyPI is put into .venv.
NPM := $(shell command -v npm 2>/dev/null || echo $(CURDIR)/$(BIN)/npm)

# Programs that npm installs look for `node`.
export PATH := $(PATH):$(CURDIR)/$(BIN)
# Images for containers often forbid Python to keep what it has compiled; then every process starts three times as slow.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes \
    --no-emit-index-url --no-header --quiet

.DEFAULT_GOAL := help
.PHONY: help setup proto docs run test check bench faults lint fmt lock migration clean

help: ## Explain every target
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make .venv with the locked packages, the generated code and the `denda` command
	@echo "Ready: $(BIN)/denda --help"

proto: gen/.made ## Generate gen/ from proto/ when a contract has changed

docs: setup ## Write docs/api.md from the comments in proto/
	@$(BIN)/python proto/reference.py

run: setup ## Start everything on this machine, with the demo's data on first start; Ctrl-C stops it
	@$(BIN)/denda up

test: setup ## Run all tests; brings up PostgreSQL and a private RabbitMQ by itself (K="word" picks tests)
	@$(BIN)/python -m pytest $(if $(K),-k "$(K)",-n 3)

check: lint node_modules/.ready ## Check style, types, and contracts (buf)
	@$(BIN)/python proto/generate.py --image gen/contracts.binpb
	@node_modules/.bin/buf lint gen/contracts.binpb && echo "buf lint: fine"
	@PYTHON=$(BIN)/python .ci/breaking

bench: setup ## Measure sending, import, events and calls against raw limits; takes some minutes
	@$(BIN)/python -m benchmarks

faults: setup ## Kill processes, broker and database during campaigns, many times; count what is lost or doubled
	@DENDA_FAULTS=long $(BIN)/python -m pytest tests/faults -s --timeout 3600

lint: setup ## Check style (ruff) and types (mypy)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

fmt: setup ## Put the code into the house's format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

lock: setup ## Choose package versions anew and write the lock files, with hashes for every platform
	@$(COMPILE) --extra demo --extra dev pyproject.toml --output-file requirements.lock
	@$(COMPILE) --group node --output-file requirements-node.lock
	@$(NPM) install --package-lock-only
	@echo "Now: make setup test"

migration: setup ## Write the next migration from the models: make migration service=contacts m="add nickname"
	@$(BIN)/python -m services.migration $(service) "$(m)"

clean: ## Remove what was made, except the data in .denda
	@rm -rf gen node_modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .venv

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Denda needs Python 3.11 or newer. Debian, Ubuntu: apt-get install python3 python3-venv. macOS: brew install python."; exit 1; }
	@echo "Making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python's venv module is incomplete. Debian, Ubuntu: apt-get install python3-venv."; exit 1; }

# uv, itself from the lock, needs a tenth of pip's time; pip is there for machines whose index only pip is told of.
.venv/.locked: requirements.lock | .venv/bin/python
	@echo "Installing the locked packages"
	@sed -n '/^uv==/,/# via/p' requirements.lock >.venv/uv.lock
	@$(INSTALL) --quiet -r .venv/uv.lock
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes --no-deps -r requirements.lock \
	    || $(INSTALL) -r requirements.lock
	@touch $@

gen/.made: $(PROTOS) proto/generate.py .venv/.locked
	@echo "Generating gen/ from proto/"
	@$(BIN)/python proto/generate.py
	@touch $@

.venv/.ready: .venv/.locked gen/.made pyproject.toml setup.py
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(CURDIR)/.venv/bin/npm: requirements-node.lock | .venv/.locked
	@$(INSTALL) -r requirements-node.lock
	@touch $@

node_modules/.ready: package-lock.json .npmrc | .venv/.locked $(NPM)
	@$(NPM) ci
	@touch $@
