# `make demo` and `make test` do all the set-up themselves: a virtual environment, then the project in it.
# NCFM_HUB_VENV names another place for the environment. It is made anew only when pyproject.toml has changed.

.DEFAULT_GOAL := help
.PHONY: help setup demo quick test check style types fast all docs interop

NCFM_HUB_VENV ?= .venv
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
BIN := $(NCFM_HUB_VENV)/bin
STAMP := $(NCFM_HUB_VENV)/.installed-$(shell cksum < pyproject.toml | tr ' ' '-')
DOCS_STAMP := $(subst .installed-,.docs-,$(STAMP))
# Some machines tell Python to keep no bytecode; each of the many child processes of the tests would compile all anew.
unexport PYTHONDONTWRITEBYTECODE
# The code that runs is this checkout's, whichever checkout the environment was made from.
RUN := PYTHONPATH="$(CURDIR)" $(BIN)/python -m
# Processes of one thread each. Of all tests, those of one file share their set-up in one process, and files come in the
# order of tests/conftest.py, not those with the most tests first; the fast ones have little set-up to share. All of them
# run in three processes on two cores, because a tenth of their time is waiting for others: children, hubs and disks.
PYTEST := OMP_NUM_THREADS=1 $(RUN) pytest

help: ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

setup: $(STAMP) ## make the virtual environment and install the project in it

$(STAMP):
	@test -n "$(PYTHON)" || { echo "Error: Python 3.11 or newer is needed; name it with PYTHON=..." >&2; exit 1; }
	@echo "==> Making a virtual environment with $(PYTHON) in $(NCFM_HUB_VENV)"
	@$(PYTHON) -m venv "$(NCFM_HUB_VENV)"
	@echo "==> Installing ncfm-hub and what it needs there (once; a few minutes, some 6 GB with PyTorch)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@rm -f "$(NCFM_HUB_VENV)"/.installed-*
	@touch "$(STAMP)"

demo: $(STAMP) ## distill handwritten digits to one image per class, from a local hub to a local hub (about a minute)
	@echo "==> Running the demo in ./demo-run"
	@$(RUN) ncfm_hub.demo

quick: $(STAMP) ## check style and types, and run the fast tests (about a minute)
	@$(MAKE) --no-print-directory --jobs=2 fast style types

test: $(STAMP) ## check style and types, and run all tests
	@$(MAKE) --no-print-directory --jobs=2 check

check: all style types

style:
	@echo "==> ruff check"
	@$(BIN)/python -m ruff check .

types:
	@echo "==> mypy"
	@$(BIN)/python -m mypy --cache-dir "$(NCFM_HUB_VENV)/.mypy_cache"

fast:
	@echo "==> pytest, the fast tests"
	@$(PYTEST) --numprocesses=2 --dist=worksteal -m "not slow and not e2e and not hub and not gpu"

all:
	@echo "==> pytest"
	@$(PYTEST) --numprocesses=3 --dist=loadfile --no-loadscope-reorder

docs: $(DOCS_STAMP) ## write docs/commands.md anew and build the documentation site in ./site
	@$(RUN) ncfm_hub.cli._reference
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet
	@echo "==> Open site/index.html through a server: $(BIN)/python -m http.server --directory site"

$(DOCS_STAMP): $(STAMP)
	@echo "==> Installing mkdocs and what it needs"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@rm -f "$(NCFM_HUB_VENV)"/.docs-*
	@touch "$(DOCS_STAMP)"

interop: $(STAMP) ## run other people's software on our sets, each in an environment of its own (by hand; SET=folder or Hub id)
	@$(BIN)/python tools/interop.py $(if $(SET),--set "$(SET)")
