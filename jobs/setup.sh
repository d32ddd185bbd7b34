#!/usr/bin/env bash
# Sets up .venv with lossgrid, MPI and an h5py that writes in parallel, on Debian or Ubuntu.
#
#   jobs/setup.sh [EXTRAS]     extras of pyproject.toml to install, separated by commas (default digits)
#
# What is already there is kept: a second call takes no time. Settings, from the environment:
#   LOSSGRID_TORCH   the torch to install (default torch==2.13.0, the version the tests are pinned to)
#   PYTHON           the interpreter to make .venv with (default python3; 3.10 or later)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

torch=${LOSSGRID_TORCH:-torch==2.13.0}
python=${PYTHON:-python3}
extras=${1:-digits}
venv=.venv

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo > /dev/null; then sudo "$@"
    else
        say "needs '$*', and is neither root nor has sudo: have that run once, then start again"
        exit 1
    fi
}

system_packages() {
    local missing=()
    command -v mpirun > /dev/null || missing+=(openmpi-bin)
    command -v mpicc > /dev/null || missing+=(libopenmpi-dev)
    command -v pkg-config > /dev/null || missing+=(pkg-config)
    [ -e "/usr/include/hdf5/openmpi/hdf5.h" ] || missing+=(libhdf5-openmpi-dev)
    "$python" -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3-venv)
    command -v cc > /dev/null || missing+=(gcc)
    command -v pgrep > /dev/null || missing+=(procps)    # by which the job files see whether ranks are left
    command -v c++ > /dev/null || missing+=(g++)    # what torch.compile makes for CPUs is C++
    # Debian's own Python keeps its headers, which h5py compiles against, in a package of their own.
    "$python" - << 'PY' 2> /dev/null || missing+=(python3-dev)
import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").is_file())
PY
    if [ ${#missing[@]} -gt 0 ]; then
        say "installing ${missing[*]}"
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -qq -y --no-install-recommends "${missing[@]}" > /dev/null
    fi
}

parallel_h5py() {
    "$venv/bin/python" -c 'import h5py, sys; sys.exit(not h5py.get_config().mpi)' 2> /dev/null
}

python_packages() {
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    local pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
    "${pip[@]}" --upgrade pip setuptools wheel
    if ! parallel_h5py; then
        say "building h5py against the system's parallel HDF5 (some minutes, once)"
        "${pip[@]}" "numpy>=1.26" mpi4py cython pkgconfig
        # Without build isolation, or pip would compile an mpi4py of its own first; outside pip's cache, where this
        # build would stand in for the serial wheel of the same name in every other environment.
        CC=mpicc HDF5_MPI=ON "${pip[@]}" --force-reinstall --no-deps --no-cache-dir --no-build-isolation \
            --no-binary=h5py "h5py>=3.10"
    fi
    say "installing $torch and lossgrid"
    "${pip[@]}" "$torch"
    "${pip[@]}" --editable ".[$extras]"
}

# What is installed follows from pyproject.toml, this file and its settings: while none has changed, nothing is to be done.
mark=$venv/.lossgrid-setup-$extras
if [ -e "$mark" ] && [ ! pyproject.toml -nt "$mark" ] && [ ! jobs/setup.sh -nt "$mark" ] &&
    [ "$(cat "$mark")" = "$torch" ]; then
    exit 0
fi
system_packages
python_packages
printf '%s\n' "$torch" > "$mark"
say "done: $venv"
