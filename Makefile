# Every target does its own set-up. `make demo` and `make test` are the two that matter.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLUSTER ?= embedded
export CLUSTER

.PHONY: bench-experiments help venv lock crds protos check unit test e2e demo demo-down cluster-build cluster-prepare cluster-up cluster-down cluster-status image image-archive bench bench-control bench-control-full bench-simulator rivals exporters faults soak fuzz audit sbom clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/.installed: requirements-dev.lock pyproject.toml
	@echo "setting up $(VENV) from requirements-dev.lock"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 2; }
	@$(BIN)/pip install --quiet --no-compile --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --no-deps -e .
	@touch $@

venv: $(BIN)/.installed ## Create the virtual environment from the lock

lock: venv ## Resolve the dependencies anew
	$(BIN)/uv pip compile -q pyproject.toml --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 -o requirements.lock
	$(BIN)/uv pip compile -q pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 -o requirements-dev.lock

crds: venv ## Render the CRDs from the models
	$(BIN)/flyball crd render --out crds --chart charts/flyball/templates/crds --reference docs/reference

protos: venv ## Render the Python of the .proto files
	$(BIN)/python -m grpc_tools.protoc -Ioperator --python_out=operator --pyi_out=operator operator/flyball/gpuagent/pod_resources.proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. e2e/gpu/device_plugin.proto

check: venv ## Formatting, lint, types, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --explicit-package-bases e2e/cluster e2e/rivals
	$(BIN)/lint-imports
	$(BIN)/flyball crd render --check --out crds --chart charts/flyball/templates/crds --reference docs/reference

# BESIDE is set where both run at once: the cluster's clocks go on, so it comes first. Ctrl-C ends tests, not their output.
named = $(if $(BESIDE),2>&1 | { trap '' INT; tee build/$@.log | sed -u 's/^/$@: /'; })

unit: venv ## Tests that need no cluster, API-level ones on a real API server among them
	$(PYTHON) e2e/cluster/cluster.py build
	$(if $(BESIDE),nice -n 19) $(BIN)/pytest tests -n auto --durations=40 --durations-min=5 $(named)

e2e: venv ## The whole path on the real cluster, with Helm, load and kubectl
	$(BIN)/pytest -p no:hypothesispytest $(if $(BESIDE),-v) --durations=40 --durations-min=5 e2e/tests $(named)

test: venv ## Everything: what needs no cluster beside what mostly waits for one
	@mkdir -p build
	@$(MAKE) --no-print-directory -j3 check image-archive cluster-build
	@$(MAKE) --no-print-directory -j2 BESIDE=1 e2e unit || { grep -hE '^(FAILED|ERROR) ' build/unit.log build/e2e.log; exit 1; }

cluster-build: ## Build the cluster's components (cached)
	$(PYTHON) e2e/cluster/cluster.py build

cluster-prepare: ## Get and build what cluster-up needs
	$(PYTHON) e2e/cluster/cluster.py prepare

cluster-up: ## Start the cluster that CLUSTER names: embedded, kind or current
	$(PYTHON) e2e/cluster/cluster.py up

cluster-down: ## Stop it, and nothing else
	$(PYTHON) e2e/cluster/cluster.py down

cluster-status: ## Say what runs
	$(PYTHON) e2e/cluster/cluster.py status

image: venv ## Build the image and hand it to the cluster
	$(PYTHON) e2e/cluster/cluster.py build-image --dockerfile operator/Dockerfile --tag flyball:dev --context .

image-archive: venv
	@$(BIN)/python e2e/cluster/cluster.py build-image --no-load

demo: ## The main job on a real cluster, in one go
	@$(MAKE) --no-print-directory -j2 image-archive cluster-prepare
	$(BIN)/python -m e2e.demo

demo-down: ## Take away what the demo started
	$(PYTHON) e2e/cluster/cluster.py down

faults: venv ## Break what Flyball stands on, one thing at a time; goes on where it was stopped
	$(BIN)/python -m e2e.faults.crashes
	PYTHONPATH=e2e/cluster $(BIN)/python -m e2e.faults.takeover
	$(BIN)/python -m e2e.faults

soak: venv ## Everything together under traffic and random faults, two hours; goes on where it was stopped
	$(BIN)/python -m e2e.soak $(SOAK)

fuzz: venv ## Inputs that nobody should send, by the hundred thousand; goes on where it was stopped
	$(BIN)/python -m e2e.fuzz $(FUZZ)

audit: venv ## Hold the locked dependencies against known advisories; needs an advisory service on the network
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

sbom: venv ## What the image is made of, as CycloneDX: build/sbom.json
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json requirements.lock
	@echo build/sbom.json

bench: venv ## Measure speed and memory, as ratios against a floor
	PYTHONPATH=e2e/cluster $(BIN)/python -m e2e.bench

bench-control: venv ## Measure control quality on a part of the scenarios, within an hour
	$(BIN)/python -m e2e.bench.control

bench-control-full: venv ## The same on all scenarios; goes on where it was stopped
	$(BIN)/python -m e2e.bench.control --full

bench-experiments: venv ## How often experiments find what is not there, and miss what is
	$(BIN)/python -m e2e.bench.experiments

rivals: venv ## Hold the lab's rivals to the rivals' own code, built from the Go module proxy
	PYTHONPATH=e2e/cluster $(BIN)/python -m e2e.rivals $(RIVALS)

exporters: venv ## Record what serving stacks' own code prints at /metrics, for the tests of telemetry profiles
	$(BIN)/python -m e2e.exporters $(EXPORTERS)

bench-simulator: venv ## How far the simulator can be trusted: real model servers, measured engines
	$(BIN)/python -m e2e.bench.validate

clean: ## Remove what was built in this folder (the cache under ~/.cache/flyball stays)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
