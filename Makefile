# make fit    installs into .venv and trains on the built-in toy set   (RECIPE=full ARGS="trainer.max_steps=50")
# make test   everything that must pass
# make check  that, and: lint types slow docs
# make lowest the tests once more, with the lowest versions that setup.cfg allows (Python 3.11 or 3.12)

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help fit test slow lint types docs check lowest clean

PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
CONSTRAINTS ?= constraints.txt
RECIPE ?= boxes
ARGS ?=
RUN := $(VENV)/bin/python -m
STAMP := $(VENV)/.installed

# pip says one line per large download; whatever is not on this list of everyday lines comes through, errors too
QUIET := (already satisfied|Looking in|Obtaining|Collecting|Processing|Using cached|kB\)|━|\.metadata|Attempting|Uninstall|Found existing)
QUIET := $(QUIET)|^ *(Preparing|Installing|Getting|Checking|Building|Created|Stored|Successfully) |^WARNING: Location .* is ignored
install = set -o pipefail; $(RUN) pip install --disable-pip-version-check -c $(CONSTRAINTS) -e '$(1)' 2>&1 | { grep --line-buffered -vE '$(QUIET)' || true; }

help:
	@sed -n 's/^# make/make/p' Makefile

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "weakseg needs Python 3.11 or newer, but there is no $(PYTHON) here: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "weakseg needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version): make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -f $@; exit 1; }

# one stamp per set of packages, so that a second call installs nothing; they go with the environment
$(STAMP)-run: setup.cfg pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "Installing weakseg into $(VENV): 2.7 GB to fetch, 5.8 GB on the disk, most of it torch. This takes two or three minutes."
	@$(call install,.)
	@touch $@

$(STAMP)-test: $(STAMP)-run
	@echo "Installing what the tests need into $(VENV)."
	@$(call install,.[check])
	@$(call install,.[pydensecrf]) || echo "pydensecrf2 was not built (is there a C++ compiler?): the tests that compare with it skip themselves."
	@$(call install,.[cvat]) && $(RUN) pip install -q --disable-pip-version-check --no-deps -c $(CONSTRAINTS) label-studio-sdk || \
	  echo "The packages of CVAT and Label Studio do not go with these versions: the tests that compare with them skip themselves."
	@$(call install,.[ray]) && $(RUN) pip install -q --disable-pip-version-check -c $(CONSTRAINTS) 'submitit>=1.5,<2' || \
	  echo "ray or submitit does not go with these versions: the tests of several machines skip themselves."
	@touch $@

$(STAMP)-browser: $(STAMP)-test
	@$(call install,.[browser]) || echo "playwright does not go with these versions: the tests in a browser skip themselves."
	@touch $@

$(STAMP)-docs: $(STAMP)-run
	@echo "Installing what the docs need into $(VENV)."
	@$(call install,.[docs])
	@touch $@

fit: $(STAMP)-run
	@$(RUN) weakseg.fit recipe=$(RECIPE) $(ARGS)

test: $(STAMP)-test
	$(RUN) pytest $(ARGS)

slow: $(STAMP)-browser
	$(RUN) pytest -m slow $(ARGS)

lint: $(STAMP)-test
	$(RUN) ruff check .
	$(RUN) ruff format --check .

types: $(STAMP)-test
	$(RUN) mypy

docs: $(STAMP)-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict

check: lint types test slow docs

# numba keeps what it has compiled for one version of itself
lowest: export NUMBA_CACHE_DIR ?= $(abspath $(LOWEST))/numba
lowest:
	@$(MAKE) --no-print-directory VENV=$(LOWEST) CONSTRAINTS=constraints-lowest.txt test

clean:
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache *.egg-info $(VENV) $(LOWEST)
