# The verbs of this project. `make run` and `make test` set up all they need in .venv; CI calls the same verbs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt
# Extra arguments for installing PyTorch, for example the index of its small CPU builds.
TORCH_ARGS ?=
ONCE ?=
# Which onnxruntime: cpu or gpu.
RUNTIME ?= cpu
BENCHMARKS := materialize train_step cold cached warm herd

.PHONY: help run test test-gpu gpu-suite check bench report build clean

help:  ## Show the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run-$(RUNTIME)  ## Serve the manifold that ships, pull five sizes, run them on real digits, go on serving (ONCE=1: stop)
	@$(BIN)/python examples/serve_and_pull.py $(if $(ONCE),--once)

test: $(VENV)/.dev-$(RUNTIME)  ## Run all tests
	@scripts/need-redis.sh
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest clients/python/tests

test-gpu:  ## Run the tests that need a CUDA device, in .venv-gpu (onnxruntime-gpu and onnxruntime exclude each other)
	$(MAKE) VENV=.venv-gpu RUNTIME=gpu gpu-suite

gpu-suite: $(VENV)/.dev-$(RUNTIME)
	@$(BIN)/python -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "No CUDA device here: nothing was tested.")'
	$(BIN)/python -m pytest -m gpu

check: $(VENV)/.dev-$(RUNTIME)  ## Lint, format and type checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev-$(RUNTIME)  ## Run all benchmarks (docs/performance.md); the machine should have nothing else to do (JSON=FOLDER: keep the figures)
	@scripts/need-redis.sh
	@$(if $(JSON),mkdir -p '$(JSON)')
	@set -e; for each in $(BENCHMARKS); do echo "== benchmarks/$$each.py"; $(BIN)/python benchmarks/$$each.py $(if $(JSON),--json '$(JSON)'/$$each.json); done

report: $(VENV)/.dev-$(RUNTIME)  ## Fill docs/results.md with the tables and pictures of all recorded results
	$(BIN)/neumeta report results --into docs/results.md

build: $(VENV)/.dev-$(RUNTIME)  ## Build both distributions into dist/
	$(PIP) build
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --outdir dist clients/python

clean:  ## Remove the environment and everything built
	rm -rf $(VENV) .venv-gpu build dist .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; give it as: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	@echo "Setting up $(VENV). About to download PyTorch: 200 MB as a CPU build, 3 GB where the package index only has CUDA builds"
	@echo "(make TORCH_ARGS='--index-url …' chooses another index), and about 250 MB of other packages."
	$(PIP) torch $(TORCH_ARGS)
	@touch $@

$(VENV)/.run-$(RUNTIME): pyproject.toml clients/python/pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) -e '.[service,$(RUNTIME)]' -e './clients/python[cli]'
	@touch $@

$(VENV)/.dev-$(RUNTIME): pyproject.toml clients/python/pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) -e '.[service,trainer,$(RUNTIME),dev]' -e './clients/python[cli]'
	@touch $@ $(VENV)/.run-$(RUNTIME)
