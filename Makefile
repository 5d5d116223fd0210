# Two commands for everyone: `make demo` and `make test`. Each makes its own .venv first.
# Python: PYTHON=/path/to/python3 wins; else the first Python >= 3.11 that is found.

SHELL = /bin/sh
# `.venv` is never named by an absolute path: the folder may have spaces in its name.
VENV = .venv
BIN = $(VENV)/bin
# Processes of the test run. Two cores are what continuous integration has.
WORKERS = 2

.DEFAULT_GOAL = help
.PHONY: help demo test test-servers check check-format check-lint check-mypy check-pyright check-layers check-docs
.PHONY: bench clean setup format soak docs

help:
	@echo 'make demo    a tour on 336,776 real flights, on a PostgreSQL of its own'
	@echo 'make test    all tests, on a PostgreSQL of their own'
	@echo 'make check   format, lint, types (mypy, pyright), layers, snippets of the docs'
	@echo 'make format  format the code and mend what the linter can mend'
	@echo 'make docs    the documentation as a site, in site/'
	@echo 'make soak    a pool under load and faults for 60 seconds on each session (SECONDS=600)'
	@echo 'make bench   the benchmarks (ONLY=W4 ADAPTERS=floor,psqlmodel ROUNDS=5 QUICK=1)'
	@echo 'make clean   remove .venv and everything that was generated'
	@echo
	@echo 'Needed: Python 3.11 or newer (PYTHON=... chooses one), its venv module, a package index.'

setup:
	@sh .ci/setup

demo: setup
	@"$(BIN)/python" -m psqlmodel demo

test: setup
	@"$(BIN)/python" -m pytest -n $(WORKERS) -q

# The same behaviour on the servers that the machine has beside the one that comes with pip; nothing where it has none.
test-servers: setup
	@for bin in /usr/lib/postgresql/*/bin; do \
		if [ -x "$$bin/initdb" ]; then \
			"$$bin/postgres" --version; \
			PG_BIN="$$bin" "$(BIN)/python" -m pytest -n $(WORKERS) -q tests/database tests/schema tests/stateful || exit 1; \
		fi; \
	done

docs: setup
	@NO_MKDOCS_2_WARNING=1 "$(BIN)/mkdocs" build --quiet
	@echo 'site/index.html'

# As part of `make test` it takes 3 seconds each.
soak: setup
	@PSQLMODEL_SOAK="$(or $(SECONDS),60)" "$(BIN)/python" -m pytest -q -rP tests/soak

# One target each, so that `make -k check` runs them all and names every one that failed.
check: check-format check-lint check-mypy check-pyright check-layers check-docs

check-format: setup
	"$(BIN)/ruff" format --check --quiet .

check-lint: setup
	"$(BIN)/ruff" check .

check-mypy: setup
	"$(BIN)/mypy" --strict psqlmodel

check-pyright: setup
	"$(BIN)/python" -m pyright

check-layers: setup
	"$(BIN)/lint-imports" --no-cache

check-docs: setup
	@if [ -d tests/docs ]; then "$(BIN)/python" -m pytest -q tests/docs; fi

format: setup
	"$(BIN)/ruff" format .
	"$(BIN)/ruff" check --fix .

# make bench ONLY=W4,W5 ADAPTERS=floor,psqlmodel ROUNDS=5 QUICK=1 WRITE=1. A peer that can't be installed is left out.
bench: setup
	@"$(BIN)/python" -c 'import sqlalchemy, sqlmodel, django, tortoise, piccolo, peewee' 2>/dev/null || \
		"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c requirements-dev.lock -e '.[bench]' || \
		echo 'Not all peers could be installed: the report says which.'
	@"$(BIN)/python" -m benchmarks $(if $(ONLY),--only "$(ONLY)") $(if $(ADAPTERS),--adapters "$(ADAPTERS)") \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick) $(if $(WRITE),--write)

clean:
	rm -rf "$(VENV)" build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
