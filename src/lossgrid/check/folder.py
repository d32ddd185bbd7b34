"""Problems with the folder for surfaces, found from the facts and measurements of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lossgrid.check.rank_facts import RankFacts
from lossgrid.check.trial import Trial
from lossgrid.machine.disks import FileSystem
from lossgrid.machine.finding import Finding, error, warning
from lossgrid.machine.resources import who

SLOW_POINT = 0.02  # s: a rank writes up to five times a second, so slower writes cost over a tenth of its time
SLOW_BYTES = 20e6  # bytes/s: less is reported as slow
LITTLE_SPACE = 100e6  # bytes: less is reported
NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "virtiofs", "vboxsf", "fuse.vmhgfs-fuse"),
    *("fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse"),
}  # file systems that are slow or inconsistent if several processes write one file
IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}


def about_folder(
    where: FileSystem,
    locks: Mapping[str, str | None],
    unseen: Sequence[int],
    ranks: Sequence[RankFacts],
    *,
    parallel: bool,
) -> Iterator[Finding]:
    """Yield findings about the folder for surfaces.

    Args:
        where: Its file system.
        locks: Kind of lock -> its problem, None if it works; only those tested.
        unseen: Ranks that do not see a folder that rank 0 has made there.
        ranks: The facts of every rank.
        parallel: Whether all ranks would write the file themselves.
    """
    if unseen:
        yield error(
            f"{who(ranks[rank] for rank in unseen)} do not see what rank 0 made in the folder, on {where.kind}: "
            "every node has a folder of its own under this name",
            "give a folder on a file system that all nodes share",
        )
    if where.kind in NETWORK and parallel:
        yield warning(
            f"the folder is on {where.kind} ({where.source}): several ranks that write one file there are slow, and do "
            "not always see each other's data",
            "use a parallel file system, such as the cluster's scratch, or --writer root",
        )
    if where.kind in IN_MEMORY:
        yield warning(
            f"the folder is in memory ({where.kind}): surfaces there are gone with the job or the node, and with "
            "them the chance to go on",
            "use a folder on a disk",
        )
    if where.free < LITTLE_SPACE:
        yield warning(
            f"the folder has {where.free / 1e6:.0f} MB left: a surface takes some 50 bytes a point, a direction file "
            "twice the network",
            "make room, or choose another folder",
        )
    if locks.get("flock") is not None:
        yield warning(
            f"flock {locks['flock']} in the folder ({where.kind}): a second job on the same surface is not kept out",
            "see to it that one job writes a surface, or use a file system with locks (Lustre: mounted with -o flock)",
        )
    if locks.get("fcntl") is not None and parallel:
        yield warning(
            f"fcntl {locks['fcntl']} in the folder ({where.kind}): on some file systems MPI libraries lock parts of a "
            "file that several ranks write",
            "use --writer root if writing by all ranks fails",
        )


def about_trials(trials: Sequence[Trial]) -> Iterator[Finding]:
    """Yield findings about slow writes into the folder."""
    for trial in trials:
        slow = []
        if trial.point_seconds > SLOW_POINT:
            slow.append(f"a point takes {1e3 * trial.point_seconds:.0f} ms")
        if trial.bandwidth is not None and trial.bandwidth < SLOW_BYTES:
            slow.append(f"{trial.bandwidth / 1e6:.1f} MB/s")
        if slow:
            yield warning(
                f"the writer {trial.writer} is slow in the folder ({', '.join(slow)}): short points wait for it",
                "use a faster file system, such as the cluster's scratch"
                + (", or --writer root" if trial.writer == "parallel" else ""),
            )
