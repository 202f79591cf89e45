# Every target bootstraps .venv by itself and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export TRASOS_DATA_DIR ?= $(CURDIR)/data
LANDING := $(TRASOS_DATA_DIR)/landing

.DEFAULT_GOAL := help
.PHONY: help setup setup-spark setup-oracle run test test-fast ui check bench clean lock

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(STAMP): $(BIN)/uv pyproject.toml requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --constraint requirements.lock --editable '.[dev,s3,postgres]'
	@touch $@

setup: $(STAMP) ## Create .venv with the pinned packages

$(VENV)/.installed-spark: $(STAMP)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --constraint requirements.lock --editable '.[dev,s3,postgres,spark]'
	@touch $@

setup-spark: $(VENV)/.installed-spark ## Add the Spark engine (450 MB); it needs Java 17 too: apt-get install openjdk-17-jre-headless

.venv-oracle/.installed: $(BIN)/uv
	$(BIN)/uv venv --quiet --python $(BIN)/python .venv-oracle
	$(BIN)/uv pip install --quiet --python .venv-oracle/bin/python 'scikit-learn>=1.7'
	@touch $@

setup-oracle: .venv-oracle/.installed ## Add scikit-learn, in an environment of its own, to check metrics against

run: $(STAMP) ## Land 30 simulated days if nothing has landed yet, then bring every table up to date
	@test -d $(LANDING) || $(BIN)/trasos simulate --days 30 --visitors 3000 --seed 7 --out $(LANDING)
	$(BIN)/trasos run

ui: $(STAMP) ## Serve the Dagster UI with its daemon on http://127.0.0.1:3000
	$(BIN)/trasos ui

test: $(STAMP) ## Run every test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(STAMP) ## Run the tests that take no more than a few seconds each
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

check: $(STAMP) ## Lint, format check, types, and the definitions as Dagster sees them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/dg check defs

bench: $(STAMP) ## Run the benchmarks; RETAIL=PATH/TO/online_retail adds those that need it (about two hours)
	@for script in ingest lake train; do echo "== $$script"; $(BIN)/python benchmarks/$$script.py || exit 1; done
	@test -n "$(RETAIL)" || echo "left out, they need Online Retail: make bench RETAIL=PATH/TO/online_retail"
	@test -z "$(RETAIL)" || for script in topk public_models quality; do \
		echo "== $$script"; $(BIN)/python benchmarks/$$script.py "$(RETAIL)" || exit 1; done

lock: $(BIN)/uv ## Write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --no-emit-index-url --no-annotate --no-header --all-extras --upgrade \
		pyproject.toml --output-file requirements.lock

clean: ## Remove .venv, caches and everything that `make run` wrote below data/
	rm -rf $(VENV) .venv-oracle .pytest_cache .ruff_cache .hypothesis
	rm -rf data/landing data/lake data/reports data/dagster_home data/trasos.duckdb
