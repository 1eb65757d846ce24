# What people type here; `make` alone lists it. Everything runs in .venv, which is made of the lock when that changed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env demo down test check fmt bench wheels lock clean

RUN := .venv/bin/python
ENVIRONMENT := .venv/.made-of-the-lock
BENCH_ENVIRONMENT := .venv-bench/.made-of-the-lock
IN_TWO := --numprocesses 2 --dist loadgroup --no-loadscope-reorder
COMPILE := .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate pyproject.toml

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(ENVIRONMENT) ## Make .venv, with the command .venv/bin/longshore

demo: $(ENVIRONMENT) ## Start a local cluster and run a real traffic simulation in it
	@$(RUN) deploy/examples/sumo/demo.py

down: $(ENVIRONMENT) ## Stop the local cluster and everything in it
	@$(RUN) -m longshore down

test: $(ENVIRONMENT) ## Run the tests in two processes; ARGS='-k name' chooses, in one; KUBERNETES=1.35 runs them on the oldest
	@.ci/packages
	@status=0; $(if $(KUBERNETES),LONGSHORE_KUBERNETES=$(KUBERNETES)) $(RUN) -m pytest $(or $(ARGS),$(IN_TWO)) || status=$$?; echo "make test took $$SECONDS s"; exit $$status

check: $(ENVIRONMENT) ## Lint, formatting, types, import contracts
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@$(RUN) -m mypy
	@.venv/bin/lint-imports

fmt: $(ENVIRONMENT) ## Mend what can be mended by machine
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format
	@$(RUN) deploy/generate.py
	@$(RUN) docs/generate.py
	@$(RUN) docs/generate_api.py

bench: $(BENCH_ENVIRONMENT) ## Run the benchmarks, beside other clients; ONLY=name chooses
	@.venv-bench/bin/python -m bench $(ONLY)

wheels: $(ENVIRONMENT) ## Build what is installed, into dist/; PLATFORMS=linux/arm64 also for another machine
	@$(RUN) -m deploy.wheels

lock: $(ENVIRONMENT) ## Lock what pyproject.toml asks for; UPGRADE=--upgrade takes newer versions
	@$(COMPILE) $(UPGRADE) --output-file requirements.lock
	@$(COMPILE) $(UPGRADE) --group dev --output-file requirements-dev.lock
	@$(COMPILE) $(UPGRADE) --group bench --constraint requirements.lock --output-file requirements-bench.lock

clean: ## Remove what was made in this folder; clusters and caches outside stay
	@rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find src tests deploy bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(ENVIRONMENT): requirements-dev.lock pyproject.toml .ci/environment
	@.ci/environment
	@touch $@

$(BENCH_ENVIRONMENT): requirements-bench.lock pyproject.toml $(ENVIRONMENT)
	@echo "making .venv-bench" >&2
	@.venv/bin/uv venv --quiet --clear --python .venv/bin/python .venv-bench
	@.venv/bin/uv pip sync --quiet --python .venv-bench/bin/python --require-hashes requirements-bench.lock
	@.venv/bin/uv pip install --quiet --python .venv-bench/bin/python --no-deps --no-build-isolation --editable .
	@touch $@
