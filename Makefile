# Everyday commands for machines without ROS. `make` alone lists them.

# The Python that .venv was made with, where there is one.
PYTHON ?= $(or $(shell .venv/bin/python -S -c "import sys; print(sys._base_executable)" 2>/dev/null),python3)
BIN := .venv/bin

# Tests and demos talk to this machine only, on a ROS domain of their own, and never to a ROS installation that is sourced.
export ROS_AUTOMATIC_DISCOVERY_RANGE = LOCALHOST
export ROS_DOMAIN_ID := $(shell echo $$(( 1 + $$$$ % 100 )))
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH RMW_IMPLEMENTATION ROS_DISTRO

export ROS

.DEFAULT_GOAL := help
.PHONY: help demo test smoke env messages docs format lint type audit clean

help:  ## list these commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 18

demo: env  ## set up, then run the node on an image sequence; DATA=folder or bag, OUT=folder
	@$(BIN)/loftr-ros demo $(if $(DATA),--data '$(DATA)') $(if $(OUT),--out '$(OUT)')

test: env  ## set up, then run the tests (minutes); ARGS='test/geometry -x' for pytest, JOBS=1 one by one
	@$(PYTHON) scripts/setup_env.py --extras
	@$(BIN)/python -m pytest $(if $(filter 1,$(JOBS)),,-n $(or $(JOBS),auto) --dist loadfile --no-loadscope-reorder) $(ARGS)

smoke:  ## build the messages and run the node on another distribution (ROS=kilted), with what .venv has besides
	@$(MAKE) --no-print-directory env ROS=
	@$(PYTHON) scripts/smoke.py

env:  ## make .venv: Python packages, ROS 2 wheels (of Jazzy; ROS=kilted), this package's messages
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Debian or Ubuntu: sudo apt install python3 python3-dev python3-venv" >&2; exit 1; }
	@$(PYTHON) scripts/setup_env.py

messages:  ## build the messages again, whatever their state
	@$(PYTHON) scripts/setup_env.py --rebuild-messages

docs: env  ## build the site of the docs in docs/_build; a warning ends it
	@$(BIN)/python docs/diagrams.py
	@$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build
	@echo docs/_build/index.html

format: env  ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: env  ## check format, style and who imports whom
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports

type: env  ## check types
	@$(BIN)/mypy

audit:  ## look for dangerous calls and for vulnerable versions; fetches bandit and pip-audit
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet bandit pip-audit; }
	@build/audit/bin/bandit --quiet --severity-level medium --recursive loftr_ros launch scripts benchmarks examples setup.py
	@build/audit/bin/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt $(addprefix --requirement ,$(wildcard requirements/ros2-*.txt))

clean:  ## remove the environment, builds and generated messages
	rm -rf .venv build docs/_build docs/generated install log loftr_ros.egg-info loftr_ros/msg loftr_ros/srv loftr_ros/*.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
