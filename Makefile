# Everything starts from a fresh Debian 12 machine, as root. `make demo` and `make test` set up what they need.
SHELL := /bin/bash
VENV := .venv
STAMP := $(VENV)/.ready

.PHONY: setup demo test check bench clean

setup: $(STAMP)
	scripts/setup system

$(STAMP): requirements-dev.lock pyproject.toml scripts/setup
	scripts/setup python

demo: setup
	$(VENV)/bin/python -P scripts/demo

test: setup
	scripts/test

check: $(STAMP)
	scripts/check

bench: setup
	$(VENV)/bin/python -P bench/noded
	$(VENV)/bin/python -P bench/disks

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
