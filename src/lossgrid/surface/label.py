"""The names of surfaces in tables and legends."""

from __future__ import annotations

from collections.abc import Sequence

from lossgrid.surface.surface import Surface


def labels_of(surfaces: Sequence[Surface]) -> list[str]:
    """Return a name for each surface: its label, or else the name of its file.

    Where two would be equal, all have the path of their file; where one has no file, a number.
    """
    names = [surface.label or ("" if surface.path is None else surface.path.stem) for surface in surfaces]
    if "" not in names and len(set(names)) == len(names):
        return names
    paths = [str(surface.path.with_suffix("")) for surface in surfaces if surface.path is not None]
    if len(set(paths)) == len(surfaces):
        return paths
    return [f"surface {number}" for number in range(1, len(surfaces) + 1)]
