#!/usr/bin/env bash
# Train, compute the surface, draw it: three jobs, each waiting for the one before. Copy, change what is marked, run.
#
# A surface that takes several time limits keeps the drawing waiting: a job that goes into the queue again has not
# ended. Where a job fails, those that wait for it are cancelled.
set -euo pipefail

# ---- change from here ----
site=                               # file with modules and environment, by its full path, for training and drawing
# Whatever saves the checkpoint that the surface is of.
train="lossgrid train --model resnet56 --data cifar10:data --epochs 300 --lr-steps 150,225,275 --augment crop,flip --out resnet56"
train_resources=(--ntasks=1 --gpus=1 --cpus-per-task=8 --time=02:00:00)
surface=surface.sbatch              # of lossgrid job slurm or slurm-cpu, with your changes
draw="lossgrid plot resnet56.h5"    # the file that the job above writes
draw_resources=(--ntasks=1 --cpus-per-task=1 --time=00:10:00)
# ---- to here ----

setup=
if [ -n "$site" ]; then setup=$(printf 'source %q' "$site"); fi

# script NAME COMMAND: the text of a batch script
script() {
    cat << JOB
#!/usr/bin/env bash
#SBATCH --job-name=$1
#SBATCH --output=%x-%j.log
$setup
set -e
$2
JOB
}

# submit OPTION...: hands a job to SLURM and prints its number, without the name of the cluster that may follow
submit() { sbatch --parsable --kill-on-invalid-dep=yes "$@" | cut -d ';' -f 1; }

first=$(script train "$train" | submit "${train_resources[@]}")
second=$(submit --dependency=afterok:"$first" "$surface")
third=$(script draw "$draw" | submit "${draw_resources[@]}" --dependency=afterok:"$second")
echo "train $first, surface $second, draw $third"
