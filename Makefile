# What can be done in a checkout. `make` alone lists it. Everything is installed into .venv, nothing outside.

VENV := .venv
BIN := $(VENV)/bin
CLUSTER := .cluster
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$each"; break; }; done)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check simulate test-cluster test-argo-versions bench format pictures clean

help: ## list what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/has-sandbox ## play a release in the browser; needs nothing but this checkout
	@exec $(BIN)/python -m sandbox demo $(ARGUMENTS)

# Hypothesis' own profile for CI: the same cases every time and no deadlines, so that a slow machine breaks nothing. Plain
# pytest looks for new cases.
PYTEST := $(BIN)/python -m pytest --hypothesis-profile=ci

# Branch coverage is demanded of the core alone: there every branch is a rule about somebody's traffic. These are its
# examples, claim by claim; the enumeration and everything else run without the tracer, which makes them three times slower.
CORE := tests/test_image.py $(addprefix tests/release/test_,app.py machine.py verbs.py record.py approvals.py gates.py guards.py)

# What needs nothing but this checkout; the rest is `make test-cluster`.
HERE := not cluster and not registry

test: $(VENV)/has-dev ## run the tests
ifeq ($(ARGUMENTS),)
	@$(BIN)/python -m coverage erase
	$(PYTEST) -n 2 $(CORE) --cov --cov-report=
	$(BIN)/python -m coverage report --include='bot/release/*' --fail-under=100 --skip-covered --show-missing
	$(PYTEST) -n 4 -m "$(HERE)" $(addprefix --ignore=,$(CORE))
else
	$(PYTEST) -n 4 -m "$(HERE)" $(ARGUMENTS)
endif

check: $(VENV)/has-dev ## lint, format, types, layers, and that the migrations make the tables
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_migrations.py

RUNS ?= 20000
SEED ?= 1

simulate: $(VENV)/has-dev ## let the bot live RUNS lives on both backends, among crashes and meddlers; SEED=<a run's name> shows one
	PYTHONPATH=.:tests $(BIN)/python -m simulation --runs $(RUNS) --seed "$(SEED)" $(ARGUMENTS)

test-cluster: $(VENV)/has-dev ## run what needs a real kube-apiserver, registry, k6 or Prometheus; needs Go, and ten minutes once
	sh tests/debian.sh docker-registry $(CLUSTER)/bin
	sh tests/debian.sh prometheus $(CLUSTER)/bin
	sh tests/cluster/build.sh $(CLUSTER)/bin
	GREENLIGHT_REQUIRE_CLUSTER=1 GREENLIGHT_REQUIRE_REGISTRY=1 $(PYTEST) -n 2 --dist worksteal -m "cluster or registry" $(ARGUMENTS)

ARGO_VERSIONS ?= $(notdir $(wildcard tests/cluster/argo/*))

test-argo-versions: $(VENV)/has-dev ## run what needs Argo Rollouts on ARGO_VERSIONS of it; needs Go, and ten minutes each
	sh tests/cluster/build.sh $(CLUSTER)/bin
	@failed=; for version in $(ARGO_VERSIONS); do \
		echo "==== Argo Rollouts $$version ===="; \
		sh tests/cluster/build.sh $(CLUSTER)/argo-$$version $$version && GREENLIGHT_ARGO=$$version \
			GREENLIGHT_REQUIRE_CLUSTER=1 $(PYTEST) -n 2 --dist worksteal -m "cluster and argo" $(ARGUMENTS) || failed="$$failed $$version"; \
	done; test -z "$$failed" || { echo "Not as on the version that Greenlight is made for:$$failed" >&2; exit 1; }

bench: $(VENV)/has-sandbox ## how long people wait, as ratios within one run, and what many gates cost; with what make test-cluster built also on Argo
	@$(BIN)/python -m benchmarks $(ARGUMENTS)

format: $(VENV)/has-dev ## put the code into the format that `make check` wants
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

pictures: $(VENV)/has-dev ## make the README's pictures from the demo; needs Chromium
	$(BIN)/python scripts/pictures.py $(ARGUMENTS)

clean: ## remove what was installed and built here
	rm -rf $(VENV) $(CLUSTER) build dist *.egg-info .coverage* htmlcov \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Greenlight needs Python 3.11 or newer, and none is on the PATH. Install one, or name \
	yours: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Stamps: newer than pyproject.toml and constraints.txt means installed as they say.
$(VENV)/has-sandbox: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Greenlight and its sandbox into $(VENV): about a minute, this once."
	@$(PIP_INSTALL) -e '.[sandbox]'
	@touch $@

$(VENV)/has-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Greenlight, its sandbox and the tools into $(VENV): about a minute, this once."
	@$(PIP_INSTALL) -e '.[sandbox,dev]'
	@touch $@ $(VENV)/has-sandbox
