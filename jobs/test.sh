#!/usr/bin/env bash
# All checks, in three sizes.
#
#   jobs/test.sh [quick|full|campaign] [PYTEST ARGUMENTS]
#
#   quick      style, types, imports, and the unit tests that are not slow: under two minutes, before each commit
#   full       style, types, imports, shell scripts, all tests but those marked campaign: what is run where no size is
#              named
#   campaign   full with the tests marked campaign, then faults at random moments, a soak, every MPI, the smallest
#              experiments and the recipes: hours, before a release
#
# Unit tests share the cores, and so do whole jobs that wait for no moment (marked beside); all others run one after the
# other. PYTEST ARGUMENTS, such as a folder, replace that choice: what they name runs in one process. Sets up .venv first,
# where it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

size=full
case "${1:-}" in quick | full | campaign) size=$1; shift ;; esac

bash jobs/setup.sh test,lint
export PATH="$PWD/.venv/bin:$PATH"
# A thread for each process; with more they would stand in each other's way.
shared() {
    OMP_NUM_THREADS=1 python -m pytest --numprocesses "$(env -u OMP_NUM_THREADS nproc)" --maxprocesses 8 --dist worksteal "$@"
}

ruff check .
ruff format --check .
mypy
lint-imports
if [ "$size" = quick ]; then
    if [ $# -gt 0 ]; then python -m pytest -m "not slow" "$@"; else shared tests/unit -m "not slow"; fi
    exit
fi

mapfile -t job_files < <(find src/lossgrid/job_files -type f)

# A campaign leaves nothing out.
if [ "$size" = campaign ]; then but=""; else but=" and not campaign"; fi

shellcheck jobs/*.sh jobs/container/install.sh jobs/container/lossgrid tests/container/root.sh "${job_files[@]}" tests/slurm/*.sh benchmarks/*.sh .ci/run
if [ $# -gt 0 ]; then
    python -m pytest "$@"
else
    shared tests/unit -m "${but# and }" --durations 20
    shared tests/parallel tests/system -m "beside$but" --durations 40
    python -m pytest --ignore tests/unit --ignore tests/recipes -m "not beside$but" --durations 40
fi
[ "$size" = campaign ] || exit 0

python -m tests.campaign
python -m tests.soak
bash jobs/test_mpis.sh
bash jobs/test_experiments.sh
bash jobs/test_recipes.sh
