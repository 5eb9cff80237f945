# Everything from a machine with Python 3.11 and make alone: the environment is made here.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-long bench bench-gpu performance-page check format hospitals clean

.venv/.installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check -e '.[dev]'
	touch $@

QUICK := not long and not gpu and not benchmark
# Whole networks and start-up times are not measured beside other tests.
ALONE := tests/e2e tests/architecture/test_help.py

## help: this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## demo: five synthetic hospitals, one study over them, a report in runs/demo
demo: .venv/.installed
	rm -rf runs/demo runs/demo-hospitals
	$(BIN)/fedehr-sim demo --out runs/demo

## test: everything that takes under 15 minutes together
test: .venv/.installed
	$(BIN)/python -m pytest -m "$(QUICK)" -n auto --dist loadfile tests $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest -m "$(QUICK)" $(ALONE)

## test-long: the tests that take minutes each
test-long: .venv/.installed
	$(BIN)/python -m pytest -m "long"

## bench: the benchmarks; figures go to runs/benchmarks as JSON
bench: .venv/.installed
	$(BIN)/python -m pytest -m "benchmark" -s tests/benchmarks

## bench-gpu: a step on a GPU beside its matrix rate and BERT; figures go to runs/benchmarks
bench-gpu: .venv/.installed
	$(BIN)/python tests/gpu/benchmark_step.py --out runs/benchmarks/gpu_step.json

## performance-page: put the figures of runs/benchmarks into docs/performance.md
performance-page: .venv/.installed
	$(BIN)/python tests/benchmarks/performance_page.py

## check: style, types, rooms and file sizes alone
check: .venv/.installed
	$(BIN)/python -m pytest tests/architecture

## format: put the code into its usual shape
format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## hospitals: synthetic hospitals to play with, in runs/hospitals
hospitals: .venv/.installed
	rm -rf runs/hospitals
	$(BIN)/fedehr-sim hospitals --out runs/hospitals

## clean: remove what the commands above made
clean:
	rm -rf .venv build runs/demo runs/demo-hospitals runs/hospitals
