# Everything from a machine with Python 3.11 and make alone: the environment is made here.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo hospitals

.venv/.installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

## demo: five synthetic hospitals, one study over them, a report in runs/demo
demo: .venv/.installed
	rm -rf runs/demo runs/demo-hospitals
	$(BIN)/fedehr-sim demo --out runs/demo

## hospitals: synthetic hospitals to play with, in runs/hospitals
hospitals: .venv/.installed
	rm -rf runs/hospitals
	$(BIN)/fedehr-sim hospitals --out runs/hospitals
