"""What the nodes of a run must have in common: the versions of packages, and the folder of the output."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from lossgrid import models
from lossgrid.errors import InputError
from lossgrid.files import new_file_beside
from lossgrid.machine.versions import ONE_ENVIRONMENT, PACKAGES, differing, version_of
from lossgrid.parallel import World, collective, gather, gather_at_root, on_root
from lossgrid.settings import RunConfig


def versions(config: RunConfig) -> dict[str, str]:
    """Return package -> version; also of those that the network and the data are of: another is another function."""
    of_libraries = {models.package_of(name) for name in (config.model, config.data)} - {None}
    return {name: version_of(name) for name in (*PACKAGES, *sorted(map(str, of_libraries)))}


@collective
def refuse_different_versions(config: RunConfig, world: World) -> None:
    """Refuse ranks with different versions of a package: a value would depend on the rank that computes it.

    Raises:
        InputError: Versions differ; the text names them and the ranks.
    """
    told = gather_at_root(world, versions(config))

    def refuse() -> None:
        if found := differing(told or []):
            raise InputError(f"{'; '.join(found)}: a value would depend on who computes it; {ONE_ENVIRONMENT}")

    on_root(world, refuse)


@collective
def find_elsewhere(world: World, path: Path) -> list[int]:
    """Return the ranks that do not see the folder of ``path`` as root does: their nodes have one of their own.

    Raises:
        InputError: No file can be made in it.
    """
    with ExitStack() as made:
        new = on_root(world, lambda: made.enter_context(new_file_beside(path)))
        return find_unseen(world, new)


@collective
def find_unseen(world: World, path: Path) -> list[int]:
    """Return the ranks that do not see ``path``, which root has made.

    Its name must be new: a node may have cached that an older one does not exist.
    """
    return [rank for rank, sees in enumerate(gather(world, path.exists())) if not sees]
