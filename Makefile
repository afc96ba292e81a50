# Every verb that a developer types. Continuous integration types the same ones.
PYTHON ?= python3
ROWS ?= 20000
SIZE ?= small
OUT ?=
ONLY ?=
TRIALS ?=
RUNNER ?= kafka
VENV := .venv
BIN := $(VENV)/bin
RUN_MARK := $(VENV)/.installed-run
DEV_MARK := $(VENV)/.installed-dev
.DEFAULT_GOAL := help
.PHONY: help install dev up down demo check test conformance docs bench chaos chaos-short format browser jars-lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@echo "… a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. fix: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(RUN_MARK): $(BIN)/python pyproject.toml
	@echo "… installing Headwater and the local stack's wheels (about 40 s)"
	@$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[local,lake,sql]'
	@touch $@

$(DEV_MARK): $(BIN)/python pyproject.toml
	@echo "… installing Headwater with its test tools (about 40 s)"
	@$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[dev]'
	@touch $@ $(RUN_MARK)

install: $(RUN_MARK)  ## Headwater and the local stack into .venv
dev: $(DEV_MARK)  ## the same with everything that make test needs

up: $(RUN_MARK)  ## the local stack
	@$(BIN)/headwater up

down: $(RUN_MARK)  ## stop what was started here, and nothing else
	@$(BIN)/headwater down

demo: $(RUN_MARK)  ## the reference mesh on real data, end to end (ROWS=20000, or all)
	@$(BIN)/headwater demo --rows $(ROWS)

format: $(DEV_MARK)  ## put the code in shape
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

check: $(DEV_MARK)  ## shape, types, import rules, the style law, spelling, generated files, the mesh itself
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell src tests docs bench examples connectors streams *.md
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m pytest -q tests/tidy
	$(BIN)/headwater check
	$(BIN)/headwater test

test: check  ## make check, then every test, on a real Kafka and a real PostgreSQL
	$(BIN)/python -m pytest --ignore=tests/tidy -m "not long" -n 4 --no-loadscope-reorder

conformance: $(DEV_MARK)  ## every operator and the reference mesh on one runner, against oracle and recomputation (RUNNER=memory|kafka|faust|flink)
	HEADWATER_RUNNER=$(RUNNER) $(BIN)/python -m pytest tests/integration/test_runners.py tests/integration/test_reference_runners.py $(wildcard tests/integration/test_$(RUNNER)_runner*.py tests/integration/test_$(RUNNER)_live*.py)

chaos-short: $(DEV_MARK)  ## H1 and the saboteurs of other chaos programs that take too long for make test
	$(BIN)/python -m pytest tests/chaos -m long

docs: $(DEV_MARK)  ## regenerate the reference
	$(BIN)/python docs/generate.py

bench: $(DEV_MARK)  ## workloads beside their rivals (ONLY=W2 OUT=results.json SIZE=small|full)
	$(BIN)/python -m bench --size $(SIZE) $(if $(ONLY),--only $(ONLY)) $(if $(OUT),--out $(OUT))

chaos: $(DEV_MARK)  ## real processes killed while checkers watch (ONLY=R1 OUT=results.json TRIALS=20|long)
	$(BIN)/python -m bench.chaos $(if $(ONLY),--only $(ONLY)) $(if $(OUT),--out $(OUT)) $(if $(TRIALS),--trials $(TRIALS)) $(if $(EACH),--each $(EACH))

jars-lock: $(DEV_MARK)  ## resolve the local stack's jars anew (src/headwater/local/jars.lock)
	@$(BIN)/python -m headwater.local.lock_jars

clean: down  ## stop, and remove the local stack's data and the virtual environment
	@$(BIN)/headwater down --purge; rm -rf $(VENV)
