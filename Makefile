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
# Python of the environment that the SBOM lists.
SBOM_OF ?= $(BIN)/python
# What `make client-matrix` tests the Python client with.
PYTHONS ?= python3.9 python3.10 python3.11 python3.12 python3.13
# One worker for each core, for most of a test is waiting for a process that starts; files stay whole, for what their tests share. Threads of
# several processes that spin for each other on the same cores take ten times as long, so each computes on one.
WORKERS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
BENCHMARKS := materialize together train_step cold cached warm herd faults explorer autofit client

WEB := clients/web
EXPLORER := service/neumeta_service/explorer/index.html

.PHONY: help run test test-gpu gpu-suite client-matrix faults fuzz soak check bench report openapi explorer sbom audit build clean

help:  ## Show the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

run: $(VENV)/.run-$(RUNTIME)  ## Serve the manifold that ships, pull five sizes, run them on real digits, go on serving (ONCE=1: stop)
	@$(BIN)/python examples/serve_and_pull.py $(if $(ONCE),--once)

test: $(VENV)/.dev-$(RUNTIME)  ## Run all tests
	@scripts/need.sh redis node chromium
	$(MAKE) explorer
	$(WORKERS)
	$(WORKERS) clients/python/tests
	cd $(WEB) && NEUMETA_PYTHON='$(abspath $(BIN)/python)' npm test

test-gpu:  ## Run the tests that need a CUDA device, in .venv-gpu (onnxruntime-gpu and onnxruntime exclude each other)
	$(MAKE) VENV=.venv-gpu RUNTIME=gpu gpu-suite

gpu-suite: $(VENV)/.dev-$(RUNTIME)
	@$(BIN)/python -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "No CUDA device here: nothing was tested.")'
	$(BIN)/python -m pytest -m gpu

client-matrix:  ## Test the Python client under each of PYTHONS that is installed (it supports 3.9 and newer)
	@scripts/client_matrix.sh $(PYTHONS)

faults: $(VENV)/.dev-$(RUNTIME)  ## Run every fault in every situation (make test runs one case of each)
	@scripts/need.sh redis
	$(BIN)/python -m pytest -m '' tests/faults

fuzz: $(VENV)/.dev-$(RUNTIME)  ## Read 100,000 damaged manifold files; ask 500 times for every operation of the API
	$(BIN)/python -m pytest -m '' tests/fuzz/test_api.py
	$(BIN)/python -m tests.fuzz.manifold --inputs 100000

soak: $(VENV)/.dev-$(RUNTIME)  ## Ten minutes of mixed load while Redis and a replica are killed and started again
	@scripts/need.sh redis nginx
	$(BIN)/python benchmarks/soak.py

check: $(VENV)/.dev-$(RUNTIME)  ## Lint, format and type checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@scripts/need.sh node
	$(MAKE) $(WEB)/node_modules/.package-lock.json
	cd $(WEB) && npm run check

bench: $(VENV)/.dev-$(RUNTIME)  ## Run all benchmarks (docs/performance.md); the machine should have nothing else to do (JSON=FOLDER: keep the figures)
	@for each in redis node chromium wrk nginx; do scripts/need.sh $$each || true; done
	-@$(MAKE) --no-print-directory $(EXPLORER)
	@$(if $(JSON),mkdir -p '$(JSON)')
	@failed=; for each in $(BENCHMARKS); do echo "== benchmarks/$$each.py"; \
	  $(BIN)/python benchmarks/$$each.py $(if $(JSON),--json '$(JSON)'/$$each.json) || failed+=" $$each"; done; \
	if [ "$$failed" ]; then echo "Failed, or missed a bar:$$failed" >&2; exit 1; fi

report: $(VENV)/.dev-$(RUNTIME)  ## Fill docs/results.md and docs/experiments.md with the tables and pictures of all recorded results
	$(BIN)/neumeta report results --into docs/results.md
	$(BIN)/neumeta report results --into docs/experiments.md

explorer:  ## Build the explorer page into the service's package (needs Node.js)
	@scripts/need.sh node
	@$(MAKE) --no-print-directory $(EXPLORER)

openapi: $(VENV)/.dev-$(RUNTIME)  ## Write docs/openapi.json, the description of the HTTP API
	$(BIN)/python scripts/openapi.py

sbom: $(VENV)/.dev-$(RUNTIME)  ## Write dist/sbom.json, a CycloneDX list of what is installed (SBOM_OF=PYTHON: in another environment)
	@mkdir -p dist
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.json $(SBOM_OF)

audit: sbom  ## Ask the OSV database about every package of dist/sbom.json; needs the network
	$(BIN)/python scripts/audit.py dist/sbom.json

build: $(VENV)/.dev-$(RUNTIME) explorer  ## Build the distributions into dist/
	$(PIP) build
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --outdir dist clients/python

clean:  ## Remove the environment and everything built
	rm -rf $(VENV) .venv-gpu build dist $(WEB)/node_modules $(WEB)/dist $(dir $(EXPLORER)) .mypy_cache .pytest_cache .ruff_cache

$(WEB)/node_modules/.package-lock.json: $(WEB)/package.json $(WEB)/package-lock.json
	@echo "About to download the packages of $(WEB) (70 MB)."
	cd $(WEB) && npm ci --no-progress --loglevel=error
	@touch $@

$(EXPLORER): $(WEB)/node_modules/.package-lock.json $(WEB)/index.html $(WEB)/vite.config.ts $(shell find $(WEB)/src -type f)
	cd $(WEB) && npm run explorer -- --logLevel warn

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; give it as: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -f $(VENV)/bin/python; exit 1; }

$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	@echo "Setting up $(VENV). About to download PyTorch: 200 MB as a CPU build, 3 GB where the package index only has CUDA builds"
	@echo "(make TORCH_ARGS='--index-url …' chooses another index), and about 250 MB of other packages."
	$(PIP) torch $(TORCH_ARGS)
	@touch $@

$(VENV)/.run-$(RUNTIME): pyproject.toml clients/python/pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) -e '.[service,$(RUNTIME)]' -e './clients/python[cli]'
	@touch $@

$(VENV)/.dev-$(RUNTIME): pyproject.toml clients/python/pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) -e '.[service,otel,trainer,$(RUNTIME),dev]' -e './clients/python[cli]'
	@touch $@ $(VENV)/.run-$(RUNTIME)
