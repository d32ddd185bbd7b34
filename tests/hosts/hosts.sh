#!/usr/bin/env bash
# Hosts on this machine, for tests. Each has a network, mounts, /dev/shm, /etc/hosts and a name of its own; they share
# all other files, and the numbers of processes. Needs root on Linux, and iproute2.
#
#   tests/hosts/hosts.sh start N FOLDER    host1 to hostN, until the standard input of this command ends
#   FOLDER/enter HOST COMMAND...           run a command on a host
#   FOLDER/agent HOST COMMAND...           the same from another host: for mpirun what ssh is elsewhere
#
# host1 has the address 10.77.0.1, and so on. All are connected to a switch, which is a host too: there, the device host1
# is the cable to host1. The first process of all hosts is this script; when it ends, the kernel ends all others.
set -euo pipefail

# new_host NAME: a process that holds the namespaces of the host
new_host() {
    unshare --net --mount --uts --ipc bash -c "hostname $1 && echo ready && exec sleep infinity" > "$1.log" < /dev/null &
    echo $! > "$1"
    until grep -q ready "$1.log"; do sleep 0.02; done
}

if [ "${1:-} $#" = "start 3" ]; then
    itself=$(realpath "$0")
    cd "$3"
    # shellcheck disable=SC2016
    { echo '#!/usr/bin/env bash'
      echo 'exec nsenter -t "$(cat "${0%/*}/$1")" --net --mount --uts --ipc bash -c "${*:2}"'; } > agent
    # shellcheck disable=SC2016
    { echo '#!/usr/bin/env bash'
      echo 'exec nsenter -t "$(pgrep -P "$(cat "${0%/*}/room")")" --mount --pid "${0%/*}/agent" "$@"'; } > enter
    chmod +x agent enter
    echo $$ > room
    exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc "$itself" in-the-room "$2"
elif [ "${1:-} $#" != "in-the-room 2" ]; then
    echo "expected: start N FOLDER" >&2 && exit 2
fi

new_host switch
./agent switch "ip link add bridge type bridge && ip link set bridge up"
names=$(for ((k = 1; k <= $2; k++)); do echo "10.77.0.$k host$k"; done)
for ((k = 1; k <= $2; k++)); do
    new_host "host$k"
    printf '127.0.0.1 localhost\n%s\n' "$names" > "host$k.names"
    ip link add "host$k" netns "$(cat switch)" type veth peer name eth0 netns "$(cat "host$k")"
    ./agent switch "ip link set host$k master bridge up"
    ./agent "host$k" "ip link set lo up && ip addr add 10.77.0.$k/24 dev eth0 && ip link set eth0 up" \
        "&& mount -t tmpfs tmpfs /dev/shm && mount --bind '$PWD/host$k.names' /etc/hosts"
done
echo ready
cat > /dev/null
