# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test conformance tensorflow bench clean

demo: .venv/compare
	$(BIN)/lossmith compare --demo --out lossmith-demo

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal

# The catalogue of failures that users reported elsewhere lies beside some checkouts only.
CATALOGUE ?= ../shared/conformance/failures.py
conformance: .venv/dev
	$(BIN)/python -m tests.conformance $(CATALOGUE)

# TensorFlow is too large for every test run: its own environment, and the law of Keras with it.
tensorflow:
	$(PYTHON) -m venv .venv-tensorflow
	.venv-tensorflow/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e . tensorflow-cpu keras scikit-learn
	KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=2 .venv-tensorflow/bin/python -m tests.frameworks.keras_program

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
	rm -rf .venv .venv-tensorflow lossmith-demo
