# Two commands do everything on a fresh machine: make repro, make test.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
INSTALLED = .venv/.installed
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro test check folds app ui experiments dashboard lock

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## install the locked packages into .venv; a repeat installs nothing

repro: setup  ## run the pipeline: fetch, pack, split, train, score, threshold, explain, evaluate
	dvc repro

test: setup  ## run the tests that take seconds; the slow ones too with: pytest -m ""
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile

check: setup  ## lint, formatting, types, layers, and the picture of the rooms
	ruff check
	ruff format --check
	mypy
	PYTHONPATH=src lint-imports --no-logo
	python docs/draw_rooms.py --check

folds: setup  ## train one network per fold (split.n_folds), as one model: models/
	python src/folds.py

app: setup  ## use the trained model in the browser: http://127.0.0.1:8000
	python src/app.py

ui: setup  ## compare runs in the browser
	python src/ui.py

# Twelve columns of a hundred; without an evaluated model there is nothing to sort by.
SHOWN = Experiment|Created|State|test/macro_f1(_low|_high)?|val/macro_f1_cross_fitted|loss[.](name|gamma|alpha)|train[.](learning_rate|n_steps)
EXPERIMENTS = COLUMNS=$${COLUMNS:-220} dvc exp show --drop '^(?!($(SHOWN))$$)' $(ARGS)

experiments: setup  ## compare DVC's experiments, the best first; of all commits: make experiments ARGS=-A
	@$(EXPERIMENTS) --sort-by test/macro_f1 --sort-order desc 2> /dev/null || $(EXPERIMENTS)

dashboard: setup  ## watch a search in the browser
	optuna-dashboard "$${STORAGE:-sqlite:///optuna.db}"

lock: setup  ## resolve pyproject.toml anew into the lock files and conda.yaml
	environment/lock

$(INSTALLED): requirements.lock bootstrap.lock environment/activate.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "error: Python 3.11 is needed, found $$($(PYTHON) --version); try make PYTHON=/path/to/python3.11"; exit 2; }
	@rm -rf .venv # a link itself: --clear would empty the folder that it names
	@$(PYTHON) -m venv .venv || \
		{ echo "error: python cannot make environments; on Debian: apt-get install python3-venv"; exit 2; }
	@echo "installing the locked packages into .venv (a minute)"
	@.venv/bin/python -m pip install --quiet --require-hashes --requirement bootstrap.lock
	@.venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	@cat environment/activate.sh >> .venv/bin/activate
	@touch $@
