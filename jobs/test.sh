#!/usr/bin/env bash
# All checks: style, types, imports, shell scripts, tests.
#
#   jobs/test.sh [PYTEST ARGUMENTS]
#
# Sets up .venv first, where it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash jobs/setup.sh test,lint
export PATH="$PWD/.venv/bin:$PATH"

ruff check .
ruff format --check .
mypy
lint-imports
shellcheck jobs/*.sh jobs/slurm/* jobs/sites/*.env tests/slurm/*.sh benchmarks/*.sh .ci/run
python -m pytest "$@"
