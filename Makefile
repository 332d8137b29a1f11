# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test conformance bench screenshot clean

demo: .venv/compare
	$(BIN)/lossmith compare --demo --out lossmith-demo

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

# The catalogue of failures that users reported elsewhere lies beside some checkouts only.
CATALOGUE ?= ../shared/conformance/failures.py
conformance: .venv/dev
	$(BIN)/python -m tests.conformance $(CATALOGUE)

bench: .venv/dev
	$(BIN)/python -m bench

.venv/compare: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[compare]"
	touch $@

.venv/dev: .venv/compare
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[compare,dev]"
	touch $@

clean:
	rm -rf .venv lossmith-demo
