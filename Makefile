# Every target sets up what it needs: a virtual environment in .venv with the versions of constraints.txt.
#   make PYTHON=/path/to/python3.11 demo    chooses the Python that .venv is made with
#   make WORKERS=8 test                     chooses the number of test processes

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ZOO_STAMP := $(VENV)/.zoo-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ZOO := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m tests.zoo --workers $(WORKERS)
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)
SPHINX := $(BIN)/python -m sphinx -W --keep-going

# The pinned versions exist for Python 3.11 and newer. A name on PATH may be a stub, so each one is run.
SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.11 python3.12 python3.13 python)

define NO_PYTHON
intervaltorch: no suitable Python found (tried: $(CANDIDATES)).
  The pinned environment needs Python 3.11 or newer (tested with 3.11).
  Install one (https://www.python.org/downloads, or your system's package manager), or name it:
      make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)
endef
define NO_VENV
intervaltorch: this Python cannot make virtual environments.
  On Debian and Ubuntu: apt install python3-venv. Or name another Python:
      make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)
endef
define NO_TORCH
intervaltorch: pip could not install the torch build that constraints.txt names (its reason is above).
  - No wheel for this Python or platform: use Python 3.11, then rm -rf $(VENV) and
        make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)
  - Your package index does not carry it, or you want the small CPU build:
        PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make $(MAKECMDGOALS)
endef
define NO_PACKAGES
intervaltorch: pip could not install the packages of constraints.txt (its reason is above).
  Check the network or the package index (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL), then run the same command again.
endef
export NO_PYTHON NO_VENV NO_TORCH NO_PACKAGES

.PHONY: help install demo test test-slow test-zoo zoo-table tightness-table check format docs bench budgets clean

help:
	@echo "make demo       train, attack and certify a VAE on handwritten digits (about 5 minutes)"
	@echo "make test       the tests, without the slow ones      make test-slow  the slow ones"
	@echo "make test-zoo   models of timm and transformers     make zoo-table  the same, into docs/reference/zoo.md"
	@echo "make tightness-table  how tight the bound of each op is, into docs/reference/tightness.md (minutes)"
	@echo "make check      lint, formatting, types, layering     make format     repair the formatting"
	@echo "make docs       the documentation, its examples run   make bench      speed against plain torch"
	@echo "make budgets    measure the rounding errors of torch's functions on this machine"
	@echo "make clean      remove .venv, caches and built documentation"

install: $(STAMP)

$(STAMP): constraints.txt pyproject.toml
	@if [ ! -x $(BIN)/python ] || ! $(BIN)/python -c '$(SUITABLE)'; then \
	  for p in $(CANDIDATES); do "$$p" -c '$(SUITABLE)' 2>/dev/null && python=$$p && break; done; \
	  [ -n "$${python:-}" ] || { echo "$$NO_PYTHON" >&2; exit 1; }; \
	  echo "making $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv --clear $(VENV) || { rm -rf $(VENV); echo "$$NO_VENV" >&2; exit 1; }; \
	fi
	@echo "installing torch and the pinned packages into $(VENV) (once; some minutes)"
	@$(PIP) install -c constraints.txt torch || { echo "$$NO_TORCH" >&2; exit 1; }
	@$(PIP) install -c constraints.txt hatchling editables || { echo "$$NO_PACKAGES" >&2; exit 1; }
	@$(PIP) install -c constraints.txt --no-build-isolation -e '.[provae,test,docs,dev]' \
	  || { echo "$$NO_PACKAGES" >&2; exit 1; }
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m examples.provae demo

test: $(STAMP)
	$(PYTEST) -m "not slow"

test-slow: $(STAMP)
	$(PYTEST) -m slow

$(ZOO_STAMP): tests/zoo/requirements.txt $(STAMP)
	@$(PIP) install --no-deps -r $< || { echo "$$NO_PACKAGES" >&2; exit 1; }
	@touch $@

test-zoo: $(ZOO_STAMP)
	$(ZOO)

zoo-table: $(ZOO_STAMP)
	$(ZOO) --write docs/reference/zoo.md

tightness-table: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.tightness --write docs/reference/tightness.md

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(STAMP)
	$(SPHINX) -b html docs docs/_build/html
	$(SPHINX) -b doctest docs docs/_build/doctest
	@echo "open docs/_build/html/index.html"

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks.run

budgets: $(STAMP)
	for kernels in default avx2 avx512; do ATEN_CPU_CAPABILITY=$$kernels $(BIN)/python -m tests.budgets; done

clean:
	rm -rf $(VENV) docs/_build build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find intervaltorch examples tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
