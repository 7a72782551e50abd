# Everything a person does with Ljusvakt from a checkout. Needs make and Python 3.11+ with venv and pip;
# uv is used where it is found. `make demo ARGS="--port 8090"` passes options on.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo check test test-fast faults bench quality lock i18n screenshots clean

help:
	@echo "make demo      set up and run a simulated Helsingborg, print the address to open"
	@echo "make test      set up and run every test"
	@echo "make check     formatting, linting, types, import rules, fast tests"
	@echo "make setup     the set-up alone"
	@echo "make bench     benchmarks, as ratios within one run"
	@echo "make quality   score detectors and statistics, write docs/quality.md"

# The lock is installed with its hashes; the project itself, being a directory, has none.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Ljusvakt needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3.11." >&2; exit 2; }
	$(if $(UV),@test -x $(BIN)/python || $(UV) venv -q --python $(PYTHON) $(VENV),\
	  @test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) \
	  || { echo "python3-venv is missing: install it (Debian: apt-get install python3-venv) and run make again." >&2; exit 2; })
	$(if $(UV),$(UV) pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r $(1),\
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1))
	$(if $(UV),$(UV) pip install -q --compile-bytecode --python $(BIN)/python --no-deps -e .,\
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .)
endef

$(VENV)/.setup: requirements.lock pyproject.toml
	$(call install,requirements.lock)
	@touch $@

$(VENV)/.setup-dev: requirements-dev.lock pyproject.toml
	$(call install,requirements-dev.lock)
	@touch $@ $(VENV)/.setup

setup: $(VENV)/.setup
setup-dev: $(VENV)/.setup-dev

demo: setup
	@$(BIN)/ljusvakt demo $(ARGS)

check: setup-dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" ./check

test: setup-dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" pytest $(ARGS)

test-fast: setup-dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" pytest -m "not live and not ui and not slow and not faults" $(ARGS)

faults: setup-dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" LJUSVAKT_LONG=1 pytest -m faults $(ARGS)

bench: setup-dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -P -m pytest -q -s tests/benchmarks --override-ini python_files='bench_*.py' $(ARGS)

quality: setup-dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" python tools/quality.py $(ARGS)

lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url pyproject.toml --extra postgres --extra notify -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url pyproject.toml --extra postgres --extra notify --group dev -o requirements-dev.lock

i18n: setup-dev
	@$(BIN)/python tools/i18n.py

screenshots: setup-dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" LJUSVAKT_SCREENSHOT=1 pytest -q tests/browser/test_browser_demo.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build
