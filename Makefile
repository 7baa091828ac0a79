PYTHON ?=
RUN := .venv/bin/python -m

.PHONY: help setup demo test format

help:
	@echo 'make demo     train on generated video, on any machine'
	@echo 'make test     format, lint, types and tests: everything a change must pass'
	@echo 'make format   rewrite the code in the agreed format'
	@echo 'make setup    only make .venv (the others do so themselves)'
	@echo 'Needs Python 3.10 or 3.11; to name one: make demo PYTHON=python3.11'

setup:
	@tools/setup_venv.sh '$(PYTHON)'

demo: setup
	@$(RUN) sideways_tf.train --flagfile=configs/moving_shapes.cfg

test: setup
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy sideways_tf tools
	$(RUN) pytest --numprocesses=logical --dist=loadfile

format: setup
	$(RUN) ruff format
	$(RUN) ruff check --fix
