PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A stamp in place of the directory: a virtual environment that was cut off half-way is made again.
STAMP := $(VENV)/.installed

.PHONY: demo test lint type docs graph format clean sb3-suite

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

# The pages, guides executed, warnings as errors.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -n -b html docs docs/_build/html

graph:
	$(PYTHON) tests/import_graph.py

# SB3's own tests, from its source distribution: what they need besides.
sb3-suite: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pandas opencv-python-headless ale-py pygame
	$(BIN)/python benchmarks/sb3_suite.py --out benchmarks/results/sb3_suite.csv

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(STAMP)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache
