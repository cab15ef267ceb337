# Two commands: `make lab` to learn, `make test` to check. Both make .venv first, and again only when pyproject.toml or constraints.txt changed.

PYTHON ?= python3
TORCH_INDEX ?=
LAB_ARGS ?=
PYTEST_ARGS ?=
GPU_ARGS ?= --minutes 9 --out runs/gpu

VENV := .venv
READY := $(VENV)/.ready

.PHONY: help lab test check gpu clean

help:
	@echo "make lab      set up .venv (a few minutes, once) and open the first notebook in JupyterLab"
	@echo "make test     set up .venv and run the whole suite: unit tests and every notebook"
	@echo "make check    format, lint, types and the fast unit tests, in under a minute"
	@echo "make gpu      on a machine with a GPU: everything worth doing there, in nine minutes; nothing is installed"
	@echo "make clean    remove .venv and what builds and tests left behind"
	@echo ""
	@echo "PYTHON=python3.12    the Python (3.11 or newer) that .venv is made from"
	@echo "TORCH_INDEX=URL      take torch from this package index. On Linux the ordinary torch carries CUDA, gigabytes that a computer"
	@echo "                     without an NVIDIA GPU does not need: give the CPU index that the start page of pytorch.org names."
	@echo "                     It counts when .venv is made; run make clean first to change it."
	@echo "GPU_ARGS                 for make gpu, as in make gpu GPU_ARGS='--minutes 20 --out results' (without it: $(GPU_ARGS))"
	@echo "LAB_ARGS, PYTEST_ARGS    more arguments for JupyterLab and pytest, as in make test PYTEST_ARGS='-x -k metrics'"

# Threads that spin only shortly while they wait train nearly as fast on a quiet machine, and can be ten times faster beside other busy processes.
lab: export GOMP_SPINCOUNT ?= 1000
lab: $(READY)
	$(VENV)/bin/python -m jupyterlab --ServerApp.root_dir="$(CURDIR)" $(LAB_ARGS) notebooks/00_start_here.ipynb

# What `pytest --nbval` runs one after another, in about half its time.
test: $(READY)
	$(VENV)/bin/python -m coverage erase
	$(VENV)/bin/python tests/side_by_side.py $(PYTEST_ARGS)
	$(VENV)/bin/python -m coverage combine --quiet
	$(VENV)/bin/python -m coverage report --skip-covered

# Everything that is quick to know: what a commit must keep, without what is marked slow.
check: $(READY)
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/python -m pytest -q -r fE -m "not slow" tests

# A rented machine has its own PyTorch, and often no registry: the Python that is there is taken as it is.
gpu:
	$(if $(wildcard $(READY)),$(VENV)/bin/python,$(PYTHON)) -m minirec.experiments.gpu $(GPU_ARGS)

# The stamp comes last, so a set-up that failed or was interrupted starts again.
$(READY): pyproject.toml constraints.txt
	@rm -f $@
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "minirec needs Python 3.11 or newer; \
	$(PYTHON) is %d.%d. Name a newer one, as in: make lab PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
ifneq ($(strip $(TORCH_INDEX)),)
	$(VENV)/bin/python -m pip install -c constraints.txt --no-deps --index-url $(TORCH_INDEX) torch
endif
	$(VENV)/bin/python -m pip install -c constraints.txt -e '.[lab,test,dev,tune]'
	@touch $@

clean:
	rm -rf $(VENV) minirec.egg-info build .pytest_cache .hypothesis .mypy_cache .ruff_cache .coverage .coverage.*
	find minirec tests notebooks docs -depth \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +
