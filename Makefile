PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A stamp in place of the directory: a virtual environment that was cut off half-way is made again.
STAMP := $(VENV)/.installed

.PHONY: demo test lint type docs bench graph format clean sb3-suite coverage mutation test-lowest test-newest test-without

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

# The table of claims and what the CSVs say of them: benchmarks/README.md.
bench: $(STAMP)
	$(BIN)/python -m benchmarks

# SB3's own tests, from its source distribution: what they need besides.
sb3-suite: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pandas opencv-python-headless ale-py pygame
	$(BIN)/python -m benchmarks.integration.sb3_suite --out benchmarks/results/sb3_suite.csv

# Branch coverage of the package, child processes excepted.
coverage: $(STAMP)
	$(BIN)/python -m coverage run -m pytest -q -n 0
	$(BIN)/python -m coverage report

# Twenty mutations of each folder, each against its mirrored tests; what is in the CSV is not run again.
mutation: $(STAMP)
	$(BIN)/python -m tools.mutation

# The lowest versions that pyproject.toml declares, torch excepted, in an environment of its own.
test-lowest:
	$(PYTHON) tools/bounds.py > lowest.txt
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet -c lowest.txt $$(grep '^torch==' constraints.txt) --editable '.[test]'
	$(VENV)-lowest/bin/python -m pytest -q -n 2

# The newest versions that pyproject.toml allows, torch excepted.
test-newest:
	$(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install --quiet --upgrade $$(grep '^torch==' constraints.txt) --editable '.[test,ray]'
	$(VENV)-newest/bin/python -m pytest -q -n 2

# Without the optional extras, one after the other.
test-without: $(STAMP)
	for extra in contrib fast figures logging ot ray zoo; do $(BIN)/python tools/without.py $$extra -- -q -n 2 || exit 1; done

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(STAMP)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newest lowest.txt build docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache
