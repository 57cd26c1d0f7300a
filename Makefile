# One command each; CI runs the same ones (.ci/run). `make run` is all a fresh machine needs besides Python and make.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/.stamps

.PHONY: setup build run stop seed seed-data test check schemas bench bench-against faults faults-points outages

SEEDS ?= $(shell seq 1 30)

setup: $(STAMPS)/project

# The commands of the system this one replaces: `build` prepares what `make run` runs and, where there is Docker, the
# images of docker-compose.yml, which wants a token even when it starts nothing.
build: setup
	@if docker compose version > /dev/null 2>&1; then \
	  FULFILLMENT_API_TOKEN=$${FULFILLMENT_API_TOKEN:-unused} docker compose build; \
	else echo "built .venv, which is all that make run needs; there is no Docker to build images with"; fi

run: setup
	$(BIN)/fulfillment up

stop: setup
	$(BIN)/fulfillment down

seed seed-data: setup
	$(BIN)/fulfillment seed

# Most tests wait for processes: two lanes are nearly twice as fast as one. Each has servers and ports of its own.
LANES ?= 2

test: setup
	$(BIN)/pytest -n $(LANES) --dist loadfile --no-loadscope-reorder $(TESTS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m ops.schemas

schemas: setup
	$(BIN)/python -m ops.schemas --write

bench: setup
	$(BIN)/python -m bench --write docs/benchmarks.md

# Both checkouts in turns, and their ratios: `make bench-against BASE=COMMIT`. BASE_PYTHON is the interpreter the base is
# installed with, by default this .venv's: with BASE=HEAD it compares interpreters.
bench-against: setup
	$(BIN)/python -m bench.against $(or $(BASE),$(error BASE is the commit to compare with)) \
	  $(if $(BASE_PYTHON),--python $(BASE_PYTHON)) --write docs/benchmarks.md

faults: setup
	$(BIN)/python tests/faults/run.py $(SEEDS) --write docs/reliability.md

faults-points: setup
	$(BIN)/python tests/faults/run_points.py --write docs/reliability/points.md $(POINTS)

outages: setup
	$(BIN)/pytest -m slow tests/outages

# A .venv of another interpreter than the one that is asked for by name, or whose interpreter is gone, is rebuilt.
WHICH := import sys; print(sys.base_prefix, sys.version)
MADE_BY = $(shell .venv/bin/python -c '$(WHICH)' 2>/dev/null)
ifneq ($(wildcard $(STAMPS)/venv),)
  ifeq ($(MADE_BY),)
    REBUILD := the Python it was made with does not run
  else ifneq ($(origin PYTHON),file)
    ifneq ($(MADE_BY),$(shell $(PYTHON) -c '$(WHICH)' 2>/dev/null))
      REBUILD := it was made with Python $(word 2,$(MADE_BY)) in $(word 1,$(MADE_BY))
    endif
  endif
endif

.PHONY: rebuild
rebuild:

# Stamps rather than .venv itself: a directory's time says nothing about whether its installation was finished.
$(STAMPS)/venv: $(if $(REBUILD),rebuild)
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer with its venv module is needed, and $(PYTHON) is not that: install one and run make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(if $(REBUILD),echo "rebuilding .venv with $(PYTHON): $(REBUILD)")
	$(PYTHON) -m venv $(if $(REBUILD),--clear) .venv
	mkdir -p $(STAMPS)
	touch $@

$(STAMPS)/dependencies: requirements.lock $(STAMPS)/venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

$(STAMPS)/project: pyproject.toml $(STAMPS)/dependencies
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@
