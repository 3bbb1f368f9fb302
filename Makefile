# Two commands do all the set-up on a fresh machine (Linux, Python >= 3.11): `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all docs check format clean
.DELETE_ON_ERROR:

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "relact needs Python 3.11 or newer; this is " + sys.version.split()[0] + ": make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/.ready  ## an unseen play: detect, draw, judge
	$(BIN)/relact demo --out demo

test: $(VENV)/.ready  ## everything that runs in minutes on a CPU
	$(BIN)/python -m pytest -n 2 --dist worksteal

$(VENV)/.browser: $(VENV)/.ready  # where no Chromium can be had, its tests skip and say so
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]' || echo "no Playwright"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs,ray,tensorboard]' || echo "no Ray: its tests will skip"
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } || \
	  $(BIN)/playwright install --with-deps chromium || echo "no Chromium: the tests in a browser will skip"
	@touch $@

test-all: $(VENV)/.browser  ## also what is slow, or needs a browser or a GPU (skipped where there is none)
	$(BIN)/python -m pytest -m '' -n 2 --dist worksteal

docs: $(VENV)/.ready  ## the site of the documentation: open site/index.html
	$(BIN)/python docs/commands.py
	$(BIN)/python -m zensical build --strict

check: $(VENV)/.ready  ## lint, format, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
