# The two commands of a newcomer are `make up` and `make test`.
# Every target sees to the environment first; that costs nothing when nothing changed.

PYTHON := .venv/bin/python
TESTS ?= tests
# Two workers by default: the suite compiles, starts servers and a browser.
WORKERS ?= 2

.PHONY: help setup up test check bench format relock

help:
	@echo 'make up      set up, then start everything and print the URLs (Ctrl-C stops it)'
	@echo 'make test    set up, then run the whole test suite (TESTS=tests/trading for a part)'
	@echo 'make check   set up, then ruff, mypy and import-linter'
	@echo 'make bench   set up, then all benchmarks'
	@echo 'make setup   only the environment in .venv'
	@echo 'make format  let ruff format and sort imports'

setup:
	@deploy/setup.sh

up: setup
	@.venv/bin/quarterdeck up

test: setup
	@$(PYTHON) -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

check: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup
	@$(PYTHON) -m bench

format: setup
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

# Renew the pinned versions within pyproject.toml's bounds. No addresses in the
# result: every machine has its own way to the packages.
relock:
	.venv/bin/uv pip compile deploy/bootstrap.in --generate-hashes --no-emit-index-url --no-header --universal --quiet --output-file deploy/bootstrap.lock
	.venv/bin/uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock
