# Everything a run makes lies under .venv, .tools and .local.

PYTHON ?= python3
export STACK ?= local
# The user's own kubectl context, for a cluster that exists already.
export CONTEXT

VENV := .venv/bin
LOCAL := $(VENV)/python tools/local.py
INSTALL := $(VENV)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up status load down clean deploy preview env tools test test-fast test-go lint

help: ## Show what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  STACK=NAME picks the environment (stacks/environments/Pulumi.NAME.yaml; now $(STACK))."
	@echo "  KUBECONFIG or CONTEXT picks a cluster of yours instead of the local control plane."

up: .venv/installed ## Start a local control plane, deploy the environment, show what runs
	@$(LOCAL) up

status: .venv/installed ## Show nodes, pods and autoscalers
	@$(LOCAL) status

load: .venv/installed ## Simulate load: WAITING=40 [MODEL=deployment] [LOST=1|all]
	@$(LOCAL) load $(or $(WAITING),$(error set WAITING: make load WAITING=40)) \
		$(if $(MODEL),--model $(MODEL)) $(if $(LOST),--lost $(LOST))

# The extra that brings the SDK of the environment's cloud; none for simulated nodes.
EXTRA_gke := gcp
EXTRA_eks := aws
EXTRA_aks := azure
CLOUD = $(shell sed -n 's/^ *llm-inference:cloud: *//p' stacks/environments/Pulumi.$(STACK).yaml 2>&1)
EXTRA := $(EXTRA_$(CLOUD))
# The user's, or the one that `make tools` brought.
PULUMI := PATH="$$PATH:$(CURDIR)/.tools/pulumi/bin:$(CURDIR)/.tools/bin" pulumi
SDK := $(EXTRA:%=.venv/installed-%)

deploy: .venv/installed $(SDK) ## Deploy an environment to its cloud, with your pulumi login: STACK=gke-dev
	@test -n "$(EXTRA)" || { echo "$(STACK) is no cloud's environment ($(CLOUD)): make deploy STACK=gke-dev"; exit 2; }
	@echo "checking the environment"
	@$(VENV)/llm-inference preview $(STACK) >/dev/null
	@$(PULUMI) version >/dev/null 2>&1 || { echo "the Pulumi CLI is needed: https://www.pulumi.com/docs/install/"; exit 2; }
	@$(PULUMI) stack select --create $(STACK)
	@# What autoscalers changed since would else be set back to what is remembered of it.
	@$(PULUMI) up --refresh --stack $(STACK)

down: $(if $(wildcard .local),.venv/installed) ## Stop everything, leave nothing running
	@test ! -d .local || $(LOCAL) down

clean: down ## Also remove the programs, the virtual environment and all caches
	@rm -rf .tools .venv build dist components/*.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

preview: .venv/installed $(SDK) ## Render the environment offline into .local/preview
	@$(VENV)/llm-inference preview $(STACK) --out .local/preview

env: .venv/installed ## Write .local/env, to be sourced, without starting anything
	@$(LOCAL) env

tools: .venv/installed ## Get every program that up and test need
	@$(LOCAL) tools

test: .venv/installed-dev tools ## Run all tests
	@PATH="$(CURDIR)/tests/clouds/bin:$(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$(CURDIR)/.tools/pulumi/bin:$$PATH" pytest

test-fast: .venv/installed-dev ## Run the tests that need no program
	@$(VENV)/pytest tests/unit tests/contract

test-go: ## Test the metrics adapter (needs Go)
	@cd tools/go/queue-metrics-adapter && go vet ./... && go test ./...

lint: .venv/installed-dev ## Check style and types
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/pyright

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and \
		f"Python 3.11 or newer is needed and $(PYTHON) is {v}: make PYTHON=python3.12 ...")'
	@test -x $(VENV)/python || $(PYTHON) -m venv .venv
	@echo "installing the Python packages"
	@$(INSTALL) -r requirements.txt -e .
	@touch $@

.venv/installed-gcp .venv/installed-aws .venv/installed-azure: .venv/installed-%: \
		.venv/installed requirements-clouds.txt
	@echo "installing the SDK of the cloud: $*"
	@$(INSTALL) --constraint requirements-clouds.txt --editable '.[$*]'
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt requirements-clouds.txt
	@$(INSTALL) -r requirements-dev.txt
	@touch $@
