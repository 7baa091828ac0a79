PYTHON ?=
STACK ?=
VENV ?= .venv
RUN := $(VENV)/bin/python -m

.PHONY: help setup demo test format

help:
	@echo 'make demo     train on generated video, on any machine'
	@echo 'make test     format, lint, types and tests: everything a change must pass'
	@echo 'make format   rewrite the code in the agreed format'
	@echo 'make setup    only make .venv (the others do so themselves)'
	@echo 'Python 3.10 or 3.11 gets TensorFlow 2.15, the stack of the card; 3.12 or 3.13 gets 2.21, the'
	@echo 'current one. To choose: make demo STACK=current PYTHON=python3.11'

setup:
	@VENV='$(VENV)' STACK='$(STACK)' tools/setup_venv.sh '$(PYTHON)'

demo: setup
	@$(RUN) sideways_tf.train --flagfile=configs/moving_shapes.cfg

test: setup
	@echo 'about 20 minutes on two cores, alone: format, lint, types, tests'
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy sideways_tf tools
	$(RUN) pytest --numprocesses=logical --dist=loadfile

format: setup
	$(RUN) ruff format
	$(RUN) ruff check --fix
