#!/usr/bin/env bash
# A surface on one machine or several, started by mpirun: copy, change what is marked, run.
#
# Started again, it goes on where it stood. Exit codes: 0 complete, 1 failed, 2 bad input, 75 stopped, run again. (MPICH's
# mpirun before 4.1 at times ends with 0 instead of 75 when it has passed on a signal; lossgrid status tells.)
#
# Ctrl-C, TERM and USR1 to this script let the ranks finish their points; the same once more ends them at once.
set -euo pipefail

# ---- change from here ----
ranks=4                     # one per GPU; without GPUs one per core or per few cores
hosts=                      # a file of machines: "node1 slots=4" for Open MPI, "node1:4" for MPICH; nothing: this one
checkpoint=resnet56.pt      # nothing: weights as the network is made with, and a name for out
out=${checkpoint%.*}.h5     # named after it; on a file system that all machines see
options=(                   # of lossgrid run
    --model resnet56
    --data cifar10:data --splits "train,test"
    --alpha -1:1:51 --beta -1:1:51
)
# ---- to here ----
if [ -n "$checkpoint" ]; then options+=(--checkpoint "$checkpoint"); fi

# --bind-to none: otherwise mpirun ties a rank to one core or socket; lossgrid divides the cores of a node itself.
start=(mpirun -n "$ranks" --bind-to none)
if [ -n "$hosts" ]; then start+=(--hostfile "$hosts"); fi
# By its full path: the shells that mpirun opens on other machines need not have it in PATH.
lossgrid=$(command -v lossgrid) || { echo "lossgrid is not in PATH: activate its environment first" >&2 && exit 2; }

# mpirun waits for ever for a lost machine, also when lossgrid has ended the ranks of all others. So it is ended itself
# once this machine has had ranks and has had none for some seconds.
linger=30    # s
end_with_ranks() {
    local seen='' since=0
    local rank="^[^ ]+ [^ ]*lossgrid run .*--out ${out//[^[:alnum:]\/_-]/.}( |\$)"
    while sleep 1 > /dev/null 2>&1 && kill -0 "$run" 2> /dev/null; do
        if pgrep -u "$EUID" -f "$rank" | grep -vx "$run" > /dev/null; then
            seen=yes since=$SECONDS
        elif [ -n "$seen" ] && [ $((SECONDS - since)) -ge "$linger" ]; then
            echo "all ranks of this machine have ended and mpirun has not: a machine is lost, so mpirun is ended" >&2
            kill -KILL "$run"
        fi
    done
}

# In a session of its own, where Ctrl-C does not reach it: at INT and TERM mpirun kills its ranks after a second or two,
# and ends with 1 whatever they have come to. USR1 it passes on, and waits.
setsid "${start[@]}" "$lossgrid" run "${options[@]}" --out "$out" --plot &
run=$!
trap 'kill -USR1 "$run"' INT TERM HUP USR1 USR2
end_with_ranks &
set +e
while kill -0 "$run" 2> /dev/null; do wait "$run"; done    # every signal interrupts a wait
wait "$run"
code=$?

# 138: USR1 met ranks that were not listening yet. Other numbers are those of signals that killed a rank or mpirun.
case $code in
    0 | 1 | 2 | 75) exit "$code" ;;
    138) exit 75 ;;
    *) exit 1 ;;
esac
