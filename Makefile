# Each line is one command. `make up` and `make test` are all a user needs; both install first when something changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
WORKERS ?= 2
export OTEL_SDK_DISABLED := true

.PHONY: install up down status test check bench
.DEFAULT_GOAL := up

install:
	@$(PYTHON) .ci/bootstrap.py

up: install
	@.venv/bin/maximus up $(if $(filter-out 0 no false,$(DETACH)),--detach)

down:
	@.venv/bin/maximus down

status:
	@.venv/bin/maximus status

test: install
	@.venv/bin/python -m pytest -n $(WORKERS) $(ARGS)

check: install
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: install
	@.venv/bin/python -m benchmarks.loop
