#!/usr/bin/env bash
# The paper's experiments in their smallest size: each must hold what it states.
#
#   jobs/test_experiments.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for experiment in batch_size shortcuts; do
    .venv/bin/python "benchmarks/experiments/$experiment.py" --size smoke --out "$folder" --json "$folder/results.json"
    grep -q '"held": "yes"' "$folder/results.json"
done
