"""The output of a run, claimed before anything is loaded: it is locked, read, and refused if it is of another run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.files import in_use, locked, refuse_ambiguous
from lossgrid.origin import refuse_unknown_origin
from lossgrid.parallel import World, collective, on_root
from lossgrid.run.provenance import refuse_other_contents, settings_to_resume
from lossgrid.settings import RunConfig
from lossgrid.surface import Surface
from lossgrid.surface.origin import Digests


@dataclass(frozen=True)
class Claim:
    """The locked output and the surface in it.

    Attributes:
        config: The settings; those that the user left open have the values of the file.
        world: The ranks.
        old: The surface to resume; None for a new file.
    """

    config: RunConfig
    world: World
    old: Surface | None

    @property
    def recipe(self) -> Mapping[str, Any] | None:
        """The recipe of the file; None for a new file."""
        return None if self.old is None else self.old.origin.recipe.told()

    @property
    def pending(self) -> npt.NDArray[np.bool_]:
        """True for points that are not computed and may have to be, shape ``(n_beta, n_alpha)``, bool."""
        if self.old is None:
            return np.ones(self.config.grid.rows, dtype=bool)
        without = self.old.missing if self._is_fine_enough else ~self.old.computed
        return without.reshape(self.config.grid.rows)

    @property
    def is_complete(self) -> bool:
        """Whether the file has all that is asked for."""
        return self.old is not None and self.old.complete and not self.pending.any()

    @property
    def _is_fine_enough(self) -> bool:
        """Whether the interpolated points of a complete surface are within the tolerance."""
        if self.old is None or self.old.refinement is None or not self.old.complete:
            return False
        there, wanted = self.old.refinement, self.config.tolerance or 0.0
        return there.unit == self.config.tolerance_of and there.tolerance <= wanted

    @collective
    def refuse_other_contents(self, digests: Digests, device_type: str) -> None:
        """Refuse to resume a surface of another network, of other directions or data, or of another type of device.

        Raises:
            InputError: The contents differ; the text names all differences.
        """
        if self.old is not None:
            old = self.old
            on_root(self.world, lambda: refuse_other_contents(old, digests, device_type, self.config.out))


@collective
@contextmanager
def claimed(config: RunConfig, world: World) -> Iterator[Claim]:
    """Lock the output while the block runs, and yield its claim; cheap, so it comes before all loading.

    Raises:
        InputError: The file is locked, not a surface, or of another run; or its folder cannot be written.
    """
    with ExitStack() as locks:
        config, old = on_root(world, lambda: _lock_and_read(config, locks))
        yield Claim(config, world, old)


@collective
def looked_at(config: RunConfig, world: World) -> Claim:
    """Return the claim of the output as it is now; nothing is locked or written.

    Raises:
        InputError: As :func:`claimed`.
    """

    def look() -> tuple[RunConfig, Surface | None]:
        _refuse_place(config)
        refuse_ambiguous(config.out)
        if in_use(config.out):
            raise InputError(f"--out: {config.out} is in use by a run; wait for it or choose another file")
        return _read(config)

    config, old = on_root(world, look)
    return Claim(config, world, old)


def _lock_and_read(config: RunConfig, locks: ExitStack) -> tuple[RunConfig, Surface | None]:
    _refuse_place(config)
    locks.enter_context(locked(config.out))
    return _read(config)


def _refuse_place(config: RunConfig) -> None:
    """Refuse an output that cannot be written where it is to be.

    Raises:
        InputError: Its folder does not exist or cannot be written, or has too little space.
    """
    path = config.out
    if path.is_dir():
        raise InputError(f"--out: {path} is a folder; give a file such as {path / 'surface.h5'}")
    if not path.parent.is_dir():
        raise InputError(f"--out: folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"--out: folder {path.parent} cannot be written; choose another place")
    if config.overwrite or not path.exists():
        store.refuse_too_large(path, len(config.grid), (2 + len(config.metric)) * len(config.splits))


def _read(config: RunConfig) -> tuple[RunConfig, Surface | None]:
    """Return the settings and the surface that the run would resume; None for a new file.

    Raises:
        InputError: The file is no surface, or of another run, or cannot be written.
    """
    path = config.out
    if not path.exists():
        return config, None
    # Even with --overwrite the file must be a surface: no other file is ever overwritten.
    old = store.read(path, to_write=not config.overwrite)
    if config.overwrite:
        return config, None
    refuse_unknown_origin(old)
    config = settings_to_resume(old, config)
    if not (old.complete or os.access(path, os.W_OK)):
        raise InputError(f"--out: {path} cannot be written; make it writable to go on with it")
    return config, old
