# `make video` and `make test` set themselves up: a virtual environment in .venv, filled once.
PYTHON ?= python3
VENV   ?= .venv
PROMPT ?= A person in a red coat walks on wet asphalt at night under neon lights.
ARGS   ?=

BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The prompt travels in the environment, so that quotes, backticks and dollars in it stay what they are.
export TENKU_PROMPT := $(value PROMPT)

.PHONY: video test check format clean

video: $(VENV)/installed-base
	@$(BIN)/tenku generate $(ARGS) -- "$$TENKU_PROMPT"

# -rs names every test that is skipped, and why.
test: $(VENV)/installed-dev
	@$(BIN)/python -m pytest -rs $(ARGS)

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: tenku needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@$(PYTHON) -m venv $(VENV)

# Two stamps: a first video needs no simulator and no test tools.
$(VENV)/installed-base: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV), once: PyTorch and a few small packages" >&2
	@$(INSTALL) -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up $(VENV), once: PyTorch, the miniature world, what loads open weights, and the test tools" >&2
	@$(INSTALL) -e ".[world,open-weights,plots,heif,dev]"
	@touch $(VENV)/installed-base $@
