#!/usr/bin/env bash
# A surface on one machine or several, started by mpirun: copy, change what is marked, run.
#
# Started again, it goes on where it stood. Exit codes: 0 complete, 1 failed, 2 bad input, 75 stopped, run again. (MPICH's
# mpirun before 4.1 at times ends with 0 instead of 75 when it has passed on a signal; lossgrid status tells.)
set -euo pipefail

# ---- change from here ----
ranks=4          # one per GPU; without GPUs one per core or per few cores
hosts=           # a file that lists the machines: "node1 slots=4" for Open MPI, "node1:4" for MPICH; nothing: this one
out=surface.h5   # on a file system that all machines see
options=(        # of lossgrid run
    --model resnet56 --checkpoint resnet56.pt
    --data cifar10:data --splits "train,test"
    --alpha -1:1:51 --beta -1:1:51
)
# ---- to here ----

# --bind-to none: otherwise mpirun ties a rank to one core or socket; lossgrid divides the cores of a node itself.
# Ctrl-C gives the ranks a moment to finish their points; a long point needs: kill -USR1 <pid of mpirun>
start=(mpirun -n "$ranks" --bind-to none)
if [ -n "$hosts" ]; then start+=(--hostfile "$hosts"); fi
# By its full path: the shells that mpirun opens on other machines need not have it in PATH.
lossgrid=$(command -v lossgrid) || { echo "lossgrid is not in PATH: activate its environment first" >&2 && exit 2; }
exec "${start[@]}" "$lossgrid" run "${options[@]}" --out "$out" --plot
