# Every target makes .venv and installs by itself; nothing else is needed than Python >= 3.11.
PYTHON ?= python3
# Extra options for pip, e.g. --extra-index-url with PyTorch's CPU-only wheels.
PIP_ARGS ?=
# Extra options for `make demo` and `make test`, e.g. make demo ARGS="--frames 300 --json".
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# The rivals of the benchmarks; nothing else needs them.
BENCH_READY := $(VENV)/.installed-bench

.DEFAULT_GOAL := help
.PHONY: help demo test test-faults lint docs bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Cameras, workers, heatmaps and a retrain in flight, nothing to set up (ARGS="--frames 300 --json")
	@$(BIN)/qc-worker demo $(ARGS)

test: $(READY) ## Unit, contract, integration and end-to-end tests (ARGS="-n 0 tests/unit")
	@$(BIN)/pytest -n 2 --dist worksteal --durations 15 $(ARGS)

test-faults: $(READY) ## Tests that kill and cut things
	@$(BIN)/pytest -m faults $(ARGS)

lint: $(READY) ## ruff, mypy --strict, import contracts, generated documents up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m qc_worker.wire.schema --check
	$(BIN)/python -m qc_dashboard.api.reference --check
	$(BIN)/python -m tools.doc_tables --check

docs: $(READY) ## Write the generated documents: JSON Schemas, AsyncAPI, OpenAPI, tables
	$(BIN)/python -m qc_worker.wire.schema
	$(BIN)/python -m qc_dashboard.api.reference
	$(BIN)/python -m tools.doc_tables

bench: $(BENCH_READY) ## Run every benchmark; each prints one JSON object
	@failed=0; for benchmark in $(filter-out benchmarks/__init__.py,$(sort $(wildcard benchmarks/*.py))); do \
		echo "== $$benchmark" >&2; $(BIN)/python $$benchmark || failed=1; \
	done; exit $$failed

clean: ## Remove .venv and every cache; models and samples stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find qc_worker trainer qc_dashboard tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "error: $(PYTHON) is missing or older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[embedded,dashboard,dev]'
	@touch $@

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[bench]'
	@touch $@
