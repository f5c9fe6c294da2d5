# Everything a fresh machine needs is python3 (3.11 or later, with venv) and make. `make demo` and `make test` set
# themselves up; VENV and PYTHON may be given: make test VENV=/tmp/venv PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
DIST ?= dist
# Where `make mypyc` installs what it compiles, beside the development tools.
MYPYC_VENV ?= .venv-mypyc
BIN = $(VENV)/bin
# Processes that test: one for each processor, and two at least. `make test WORKERS=0` tests in one.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 2 ] && echo $$n || echo 2)

# What `make test-pythons` keeps, interpreters and environments, goes into its cache unless PYTHONS_IN names a folder.
PYTHONS ?=
PYTHONS_IN ?=

.PHONY: help demo test test-pythons interrupts mutants templates lint types bench wheel mypyc clean

help:
	@echo "make demo    run a WASI program with figwasp"
	@echo "make test    run the tests"
	@echo "make test-pythons  run the tests on CPython 3.11 to 3.15; make test-pythons PYTHONS='3.13 3.15' TESTS=tests/api"
	@echo "make interrupts  stop operations, and have another thread come between, at every line, not at a sample"
	@echo "make mutants put mistakes into a copy of the source, one by one, and see whether the tests notice (takes half an hour)"
	@echo "make templates   make anew what the compiler has made in advance, after a change of it: templates of the baseline compiler, stubs"
	@echo "make lint    ruff          make types   mypy --strict over src and tests"
	@echo "make bench   calls, memory, instances, threads, leaks, kernels, start-up, validation, beside wasmtime (takes minutes)"
	@echo "make wheel   build the wheel into dist/"
	@echo "make mypyc   compile floors 1 to 3 with mypyc into an environment of its own, and say how to test it (takes five minutes)"
	@echo "make clean   remove what the others made"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("figwasp needs Python 3.11 or later; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# The stamps say what has been installed; pyproject.toml decides when that is out of date.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	@echo '$$ figwasp run --dir . demo/words.wasm LICENSE'
	@$(BIN)/figwasp run --dir . demo/words.wasm LICENSE

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

test-pythons:
	$(PYTHON) -m tests.pythons.run $(if $(PYTHONS_IN),--folder $(PYTHONS_IN)) $(PYTHONS) -- -n $(WORKERS) --dist worksteal $(TESTS)

interrupts: $(VENV)/.installed-dev
	FIGWASP_INTERRUPTS=all $(BIN)/python -m pytest -o faulthandler_timeout=0 tests/interrupts

mutants: $(VENV)/.installed-dev
	$(BIN)/python -m tests.mutants.run $(MUTANTS)

templates: $(VENV)/.installed-dev
	$(BIN)/python -m figwasp.codegen.baseline.cut > templates.new
	mv templates.new src/figwasp/codegen/isa/x64/baseline/templates.py
	$(BIN)/python -m figwasp.runtime.native.shipping src/figwasp/runtime/native/shipped

lint: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/python -m mypy --strict src tests

bench: $(VENV)/.installed-bench
	$(BIN)/python bench/calls.py
	$(BIN)/python bench/memory.py
	$(BIN)/python bench/instantiate.py
	$(BIN)/python bench/threads.py
	$(BIN)/python bench/threads.py --shared
	$(BIN)/python bench/leaks.py
	$(BIN)/python bench/start.py
	$(BIN)/python bench/kernels.py
	$(BIN)/python bench/validate.py
	$(BIN)/python bench/compile.py
	$(BIN)/python bench/huge.py
	$(BIN)/python bench/interrupts.py

wheel: | $(BIN)/python
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(DIST) .
	@rm -rf build

mypyc:
	$(PYTHON) -m venv $(MYPYC_VENV)
	@rm -rf build
	FIGWASP_MYPYC=1 $(MYPYC_VENV)/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	@rm -rf build
	@echo 'tests of it: $(MYPYC_VENV)/bin/python -m pytest -o pythonpath=. -n $(WORKERS) --dist worksteal $(TESTS)'
	@echo 'benchmarks of it: FIGWASP_INSTALLED=1 $(MYPYC_VENV)/bin/python bench/compile.py'

clean:
	rm -rf .venv .venv-mypyc build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
