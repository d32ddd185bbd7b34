#!/usr/bin/env bash
# The steps of jobs/container in a Debian made by debootstrap, where there is no engine for containers; as root.
#
#   tests/container/root.sh FOLDER     FOLDER, a new one, gets the system: 2.4 GB
#
# Copies what lossgrid.def copies, runs install.sh and then two ranks, all in the new root. apt and pip are set as here.
set -euo pipefail
# Mounts of its own, which are gone with this process, however it ends.
if [ "${1:-}" != --mounted ]; then exec unshare --mount bash "${BASH_SOURCE[0]}" --mounted "$@"; fi
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
root=$(realpath -m "$1")
mirror=$(find /etc/apt '(' -name '*.list' -o -name '*.sources' ')' \
    -exec sed -nE 's/^(URIs:|deb) +(https?:[^ ]+\/debian)\/?( .*)?$/\2/p' {} + | sort -u | head -n 1)

# section NAME: the lines of a section of the definition
section() { sed -n "/^%$1\$/,/^%/{/^%/d; s/^ *//; /./p}" "$here/jobs/container/lossgrid.def"; }

debootstrap --variant=minbase bookworm "$root" "$mirror" > /dev/null
# Nothing of this machine is mounted there, as what the steps install writes into /etc and /usr: settings are copies, and
# devices are single nodes.
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sys "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do cp -a "/dev/$device" "$root/dev/"; done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
rm -f "$root/etc/apt/sources.list"    # of debootstrap: those of this machine are copied
copy() {
    if [ -e "$1" ]; then mkdir -p "$root$1" && cp -rL "$1/." "$root$1/"; fi
}
for folder in /etc/apt /usr/share/keyrings /usr/local/share/ca-certificates ${PIP_FIND_LINKS:+"$PIP_FIND_LINKS"}; do
    copy "$folder"
done
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"

section files | while read -r from to; do
    mkdir -p "$root$(dirname "$to")"
    cp -rL "$here/$from" "$root$to"
done
inside() { env HOME=/root PATH=/opt/lossgrid/.venv/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"; }
inside bash -ec "$(section post | grep -v LOSSGRID_TORCH)"
# As root, and on fewer cores than ranks: neither is what an image is for.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=true
inside bash -ec 'cd /tmp && mpirun -n 2 lossgrid run --model mlp --data digits --alpha -1:1:5 && lossgrid status surface.h5'
