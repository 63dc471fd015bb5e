# Commands for contributors. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
EXTRAS := service,workers,bundled,gate,parquet,plots,sample,trainers,dev
TORCH := $(shell grep '^torch==' constraints.txt)

# Words as one shell argument, whatever they hold.
quoted = '$(subst ','\'',$(1))'

.DEFAULT_GOAL := help
.PHONY: help setup run test zoo generated trainers-check faults soak lint types check imports schema format lock openapi matrix bench bench-jobs bench-load bench-large bench-workers evidence clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## make .venv with pinned packages and convert the bundled model; again: nothing to do
	@$(RUN) -m bundled.model > /dev/null

# TORCH_INDEX=URL looks for torch on one more package index, for example that of PyTorch's smaller builds without CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" > /dev/null || \
		{ echo "Forgetcast needs Python 3.11 or newer, and there is no $(PYTHON). Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Forgetcast needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1). Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up $(VENV) (once; a few minutes, most of it for torch)" >&2
	@"$(PYTHON)" -m venv $(VENV) || \
		{ echo "$(PYTHON) makes no virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(RUN) -m pip install --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(call quoted,$(TORCH_INDEX))) -c constraints.txt $(TORCH)
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

run: setup ## forecast a new task on a real language model; TASK=my.jsonl takes your own, FRESH=1 begins anew
	@$(RUN) -m bundled.demo $(if $(TASK),--task $(call quoted,$(TASK))) $(if $(FRESH),--fresh)

# One thread each: beside another process, threads of torch that spin for each other tripled what a fine-tuning costs.
test: setup ## run the tests, two at a time (what needs Postgres or Redis is skipped when there is none); PROCESSES=n
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(or $(PROCESSES),2) --dist loadfile --no-loadscope-reorder --durations=20 \
		-m 'not faults and not generated and not zoo'

zoo: setup ## tiny random models of every decoder family against their own forward pass (minutes); PROCESSES=n
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(or $(PROCESSES),2) --dist loadgroup --no-loadscope-reorder -m zoo

generated: setup ## drive a task with a client that is generated from openapi.json (about a minute)
	@$(RUN) -m pytest -q -m generated

trainers-check: setup ## TRL, Axolotl and LLaMA-Factory read what `forgetcast replay --for` writes (downloads them; a minute)
	@$(RUN) -m tests.trainers.trainers_check

faults: setup ## kill, freeze and cut off real processes over servers of its own; prints fault -> test -> result
	@$(RUN) -m pytest -q -m faults

soak: setup ## half an hour of random kills while jobs are submitted, at the end of which the ledger balances; SECONDS=n
	@$(RUN) -m tests.faults.soak --seconds $(or $(SECONDS),1800)

check: lint types imports schema ## everything but the tests

lint: setup ## formatting and lint
	@$(RUN) -m ruff format --check --quiet
	@$(RUN) -m ruff check --quiet

types: setup ## mypy, strict
	@$(RUN) -m mypy

imports: setup ## who may import whom
	@$(VENV)/bin/lint-imports

schema: setup ## the migrations make exactly the tables that the code maps
	@home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && export FORGETCAST_HOME="$$home" && unset FORGETCAST_DATABASE_URL && \
		$(RUN) -m alembic --raiseerr upgrade head && $(RUN) -m alembic check

lock: setup ## write the requirements of both images with the sha256 of every file, from pyproject.toml and constraints.txt
	@for part in service 'workers --extra bundled'; do \
		$(VENV)/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-annotate \
			--custom-compile-command 'make lock' -c constraints.txt --extra $$part -o $${part%% *}/requirements.txt pyproject.toml \
			|| exit 1; done

openapi: setup ## write openapi.json, the contract that clients are generated from
	@$(RUN) -m service.write_openapi > openapi.json

format: setup ## put the code into the project's form
	@$(RUN) -m ruff format --quiet
	@$(RUN) -m ruff check --fix --quiet

bench: setup ## time fits and forecasts on wide matrices (minutes); benchmarks/README.md has figures of every benchmark
	@$(RUN) -m benchmarks.completion_scale

bench-jobs: setup ## jobs claimed and heartbeats per second on SQLite; DATABASE=postgresql+psycopg://… takes a Postgres
	@$(RUN) -m benchmarks.jobs $(if $(DATABASE),--database $(call quoted,$(DATABASE)))

bench-load: setup ## reads, uploads, cells, submissions, streams and overload at N = 141,816 (minutes); DATABASE=… as above
	@$(RUN) -m benchmarks.load $(if $(DATABASE),--database $(call quoted,$(DATABASE)))

bench-large: setup ## a page of tasks, a claim and a deletion at a million tasks (minutes); DATABASE=… as above
	@$(RUN) -m benchmarks.large_tables $(if $(DATABASE),--database $(call quoted,$(DATABASE)))

bench-workers: setup ## measuring and fine-tuning beside bare passes over the same tokens (minutes)
	@$(RUN) -m benchmarks.workers

evidence: setup ## fine-tune with and without replay, going on where it stopped (hours); PART=tuning, primary or described
	@$(RUN) -m benchmarks.evidence $(or $(PART),tuning)

matrix: setup ## measure what the bundled matrices lack, going on where it stopped (hours)
	@$(RUN) -m bundled.measure_matrix

clean: ## remove .venv, caches and builds; keeps .forgetcast and the converted model
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
