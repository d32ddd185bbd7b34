#!/usr/bin/env bash
# A surface on one machine or a set of them, started by mpirun: copy, change what is marked, run.
#
# Started again, it goes on where it stood. Exit codes: 0 complete, 1 failed, 2 bad input, 75 stopped, run again.
set -euo pipefail

ranks=4          # CHANGE: one per GPU; without GPUs one per core or per few cores
out=surface.h5   # CHANGE: on a file system all machines see

# --bind-to none: otherwise mpirun ties a rank to one core or socket; lossgrid divides the cores of a node itself.
# Ctrl-C gives the ranks a moment to finish their points; a long point needs: kill -USR1 <pid of mpirun>
exec mpirun -n "$ranks" --bind-to none \
    lossgrid run \
    --model resnet56 --checkpoint resnet56.pt \
    --data cifar10:data --splits train,test \
    --alpha -1:1:51 --beta -1:1:51 \
    --out "$out" --plot                # CHANGE: model, data and grid
