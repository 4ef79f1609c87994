# make demo: install and run the main job.  make test: install and run every check.
# Both need git, make and Python >= 3.11 only, and leave everything inside .venv.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: demo test lint install clean

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
PYTEST_ARGS ?= -n auto

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

install: $(STAMP)

# the moment of the last change of these files decides whether to install again
$(STAMP): pyproject.toml setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 found; install one, or name it: make PYTHON=/path/to/python3" >&2; exit 3; }
	"$(PYTHON)" -m venv "$(VENV)"
	@# torch first and by its exact version: whatever depends on it then takes the same build
	"$(BIN)/python" -m pip install --quiet -c constraints.txt torch
	"$(BIN)/python" -m pip install --quiet -c constraints.txt -e '.[dev,mlir]'
	@# pip compiles what it copies, and an editable installation copies nothing
	"$(BIN)/python" -m compileall -q codesign profilers costmodels search targets
	@touch "$(STAMP)"

demo: $(STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh ./demo.sh

lint: $(STAMP)
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"

test: lint
	"$(BIN)/python" -m pytest -q $(PYTEST_ARGS)

clean:
	rm -rf "$(VENV)" build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
