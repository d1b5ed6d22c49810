# Every target makes the environment .venv first, or finds it made.
#
#   PYTHON   the Python to make it with: 3.11 to 3.14 (default: python3)
#   EXTRAS   cpu or gpu (default: gpu where nvidia-smi lists one)
#   ARGS     further arguments: make demo ARGS="--captions 200", make test ARGS="-k recipes -x"
#   CASE     of make fuzz: run this case alone, by the name that a failure gives: make fuzz CASE=recipe.yaml-17

PYTHON ?= python3
ARGS ?=
CASE ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all soak fuzz lint docs

help:
	@echo "make demo   build a small data set with real models; show it, and how to load it"
	@echo "make test   run the tests, without those marked slow; make test-all runs all"
	@echo "make soak   kill all processes of a build 20 times, misconfigure real servers, rehearse the benchmark; about 15 minutes"
	@echo "make fuzz   read 15,000 mutated files and run 400 commands on such files; about 30 minutes"
	@echo "make lint   ruff, mypy and the rules between the layers"
	@echo "make docs   build the documentation as a site, in site/"

setup:
	@$(PYTHON) scripts/setup_env.py

demo: setup
	@.venv/bin/unicorn-hf build $(ARGS)

# A process more than cores: some tests wait for processes that they have started or killed.
TESTS = .venv/bin/python -m pytest --numprocesses $(shell expr $$(nproc) + 1)

test: setup
	@$(TESTS) -m "not slow and not soak" $(ARGS)

test-all: setup
	@FUZZ_TEXTS=1500 $(TESTS) -m "not soak" $(ARGS)

soak: setup
	@SOAK_KILLS=20 .venv/bin/python -m pytest tests/test_kills.py tests/engines/generators/test_vllm_server.py \
		tests/scripts/test_gpu_rehearsal.py --timeout 3600 $(ARGS)

fuzz: setup
	@FUZZ_PAPERS=5000 FUZZ_INPUTS=10000 FUZZ_COMMANDS=400 FUZZ_TEXTS=5000 FUZZ_CASE=$(CASE) \
		.venv/bin/python -m pytest $(if $(CASE),tests/fuzz/test_readers.py,tests/fuzz tests/instructions/test_fuzz.py) \
		--timeout 3600 $(ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# The variable silences a notice about the generator's own future.
docs: setup
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet && echo "Built: site/index.html"
