#!/usr/bin/env bash
# A SLURM cluster of two nodes on this machine, for tests; it leaves a SLURM that is already here alone.
#
#   tests/slurm/cluster.sh install          SLURM, munge and iproute2 from the distribution (Debian, Ubuntu), where missing
#   tests/slurm/cluster.sh start FOLDER     start it; configuration, state and logs go to FOLDER, a new one
#   tests/slurm/cluster.sh stop FOLDER      end it, with all its jobs
#
# To use it: export SLURM_CONF=FOLDER/slurm.conf. Each node, n1 and n2, claims 4 CPUs and 4 GPUs, which need not exist.
# With HOSTS=... the folder of tests/hosts/hosts.sh, on host1: the nodes are host1 and host2, each with its own network.
set -euo pipefail

PATH=$PATH:/usr/sbin    # where Debian has the daemons, and users not always

controller="localhost(127.0.0.1)" nodes=(n1 n2)
if [ -n "${HOSTS:-}" ]; then controller="host1(10.77.0.1)" nodes=(host1 host2); fi

say() { printf 'cluster: %s\n' "$*" >&2; }

install() {
    if command -v slurmctld slurmd srun munged ip > /dev/null; then return; fi
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends slurm-wlm munge iproute2 > /dev/null
}

# free_ports COUNT: the first of COUNT neighbouring TCP ports nobody listens on
free_ports() {
    local first port
    while true; do
        first=$((20000 + RANDOM % 10000))
        for ((port = first; port < first + $1; port++)); do
            if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then continue 2; fi
        done
        echo "$first"
        return
    done
}

# places PORT: where the nodes are
places() {
    if [ -z "${HOSTS:-}" ]; then
        echo "NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$(($1 + 1))-$(($1 + 2))]"
    else
        echo "NodeName=host1 NodeAddr=10.77.0.1"
        echo "NodeName=host2 NodeAddr=10.77.0.2"
    fi
}

# start_node NAME: its daemon
start_node() {
    if [ -z "${HOSTS:-}" ]; then slurmd -N "$1"; else "$HOSTS/agent" "$1" "slurmd -N $1"; fi
}

# configuration FOLDER PORT: the text of slurm.conf
configuration() {
    local folder=$1 port=$2
    cat << CONF
ClusterName=lossgrid
SlurmctldHost=$controller
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
StateSaveLocation=$folder/state
SlurmctldPidFile=$folder/slurmctld.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmdLogFile=$folder/slurmd-%n.log
# Of their own for each virtual node, as they are on machines of their own; PMIx makes files of the same name in TmpFS.
SlurmdSpoolDir=$folder/spool-%n
TmpFS=$folder/tmp-%n

# A munge of its own. And a requeued job waits as long as credentials hold: 120 s if nothing is said, 5 s at least.
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge

ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# Whoever waits is looked at every second.
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=1
KillWait=10
ReturnToService=2

GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs=4 Gres=gpu:4 State=UNKNOWN
$(places "$port")
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

start() {
    local folder=$1 program node
    for program in munged slurmctld slurmd srun; do
        if ! command -v "$program" > /dev/null; then
            say "$program is not installed: run tests/slurm/cluster.sh install"
            exit 1
        fi
    done
    mkdir -p "$folder/state"
    for node in "${nodes[@]}"; do mkdir -p "$folder/spool-$node" "$folder/tmp-$node"; done
    export SLURM_CONF=$folder/slurm.conf
    configuration "$folder" "$(free_ports 3)" > "$SLURM_CONF"
    # Devices that every machine has stand for GPUs.
    printf 'Name=gpu File=/dev/%s\n' null zero full random > "$folder/gres.conf"
    (umask 077 && head -c 128 /dev/urandom > "$folder/munge.key")
    trap 'tell_why "$folder" && stop "$folder"' ERR
    # --force: the folder of a test is closed to other users, as no munge for a whole machine could be.
    munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
    slurmctld
    for node in "${nodes[@]}"; do start_node "$node"; done
    await_nodes
}

# await_nodes: both nodes can take jobs
await_nodes() {
    local tries
    for ((tries = 0; tries < 150; tries++)); do
        if [ "$(sinfo --noheader --Node --format %t 2> /dev/null | grep -c '^idle$')" = 2 ]; then return; fi
        sleep 0.2
    done
    return 1
}

# tell_why FOLDER: what the daemons said last, most of them to files only
tell_why() {
    say "SLURM did not start:"
    tail -n 3 "$1"/*.log >&2
}

stop() {
    local folder=$1 file daemon tries daemons=()
    export SLURM_CONF=$folder/slurm.conf
    # Jobs first: the processes of a job are not the daemons' children, and would outlive them.
    if [ -e "$folder/slurmctld.pid" ]; then
        scancel --user="$(id -un)" || true
        for ((tries = 0; tries < 100; tries++)); do
            if [ -z "$(squeue --noheader 2> /dev/null)" ]; then break; fi
            sleep 0.2
        done
    fi
    for file in "$folder"/slurmd-*.pid "$folder"/{slurmctld,munged}.pid; do
        if [ -e "$file" ]; then daemons+=("$(cat "$file")"); fi
    done
    for daemon in "${daemons[@]}"; do kill "$daemon" 2> /dev/null || true; done
    for daemon in "${daemons[@]}"; do
        for ((tries = 0; tries < 100; tries++)); do
            kill -0 "$daemon" 2> /dev/null || continue 2
            sleep 0.1
        done
        kill -KILL "$daemon" 2> /dev/null || true
    done
}

case "${1:-} $#" in
    "install 1") install ;;
    "start 2") start "$(realpath -m "$2")" ;;
    "stop 2") stop "$(realpath -m "$2")" ;;
    *) say "expected install, start FOLDER or stop FOLDER" && exit 2 ;;
esac
