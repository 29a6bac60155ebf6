# Everything runs in .venv/, which `make install` makes once; needs Python 3.11 and nothing else.
#
#   make demo     the whole story on two cores: baseline, training, held-out proof, report
#   make test     fast tests, then the slow ones (real processes, real training)
#   make test-runs      whole runs: the demo's story, a newcomer's path, mixtures, other models, what init writes
#   make test-clients   real clients of other people, in an environment of their own, against the gateway
#   make test-services  real PostgreSQL, started by the tests
#   make test-sandbox   attempts to get out of the sandbox, and environments that run code in it
#   make test-audit     environments with a planted defect each, and clean ones, against `turnwright check`
#   make test-gpu       what needs an NVIDIA GPU; skipped and counted without one
#   make check    lint, format, types, import layers
#   make bench NAME=rollout
#   make grid     every advantage and loss from one base, three seeds; about an hour on two cores
#   make ablation staleness by correction, three seeds, slow tools; up to two hours
#   make chaos RUNS=50  kill one random process of each of so many runs, and resume them
#   make soak     a thousand steps, watched for what grows
#   make docs     rebuild the generated pages of docs/
#   make policy   rebuild the shipped policy

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
CLIENTS := .venv-clients/bin/python
WORKERS := $(shell getconf _NPROCESSORS_ONLN)
CLIENTS_STAMP := .venv-clients/.installed

# The build of torch that the numbers in LOG.md were measured with. On Linux the package index serves a build for
# CUDA by default; for the small CPU build: make install TORCH_OPTIONS="--index-url https://download.pytorch.org/whl/cpu"
TORCH := torch==2.13.0
TORCH_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-runs test-clients test-services test-sandbox test-audit test-gpu check bench grid ablation chaos soak docs policy

help:
	@sed -n 's/^#   //p' Makefile

install: $(STAMP)

# torch comes first, so that no other package's requirement picks its version.
$(STAMP): pyproject.toml Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(TORCH_OPTIONS) $(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[all,dev]"
	touch $(STAMP)

demo: install
	$(BIN)/python examples/returns_desk/demo.py

# Each process has one thread, and there are as many as cores. What the fast part ignores has no fast test.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not (slow or runs or clients or services or sandbox or audit or gpu)" -n $(WORKERS) \
		--ignore=tests/system --ignore=tests/clients --ignore=tests/services
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n $(WORKERS) --dist worksteal

# The lock names everything, so nothing is resolved and nothing else comes in.
$(CLIENTS_STAMP): tests/clients/requirements.txt
	test -x $(CLIENTS) || $(PYTHON) -m venv .venv-clients
	$(CLIENTS) -m pip install --quiet --no-deps --requirement tests/clients/requirements.txt
	$(CLIENTS) -m pip check
	touch $(CLIENTS_STAMP)

test-clients: install $(CLIENTS_STAMP)
	OMP_NUM_THREADS=1 TURNWRIGHT_CLIENTS_PYTHON=$(CLIENTS) $(BIN)/python -m pytest -m clients -rs tests/clients

test-runs: install
	$(BIN)/python -m pytest -m runs

test-services: install
	$(BIN)/python -m pytest -m services -rs tests/services

test-sandbox: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m sandbox -rs

test-audit: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m audit -n auto

test-gpu: install
	$(BIN)/python -m pytest -m gpu -rs tests/gpu

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: install
	@test -n "$(NAME)" || { echo "usage: make bench NAME=..., one of:" $(basename $(notdir $(wildcard bench/[a-z]*.py))); exit 2; }
	TORCH_OPTIONS="$(TORCH_OPTIONS)" $(BIN)/python bench/$(NAME).py

# A study, not a bench: it goes on where it was interrupted, and its table belongs into LOG.md.
grid: install
	$(BIN)/python bench/grid.py

ablation: install
	$(BIN)/python bench/ablation.py

RUNS ?= 50
chaos: install
	$(BIN)/python bench/chaos.py --runs $(RUNS)

soak: install
	$(BIN)/python bench/soak.py

docs: install
	$(BIN)/python docs/build.py

policy: install
	$(BIN)/python -m turnwright.policies.build
