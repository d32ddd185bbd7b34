"""The digest of a surface: detects any change to its data after the run has finished."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np

from lossgrid.store.contents import Contents

TEXTS = ("config", "provenance", "quantities", "created", "rounding", "refinement")
LATER = ("quantities", "refinement")  # texts that older files lack


def digest(held: Contents, names: Collection[str]) -> str:
    """Return the SHA-256, in hexadecimal, of the arrays ``names`` of a surface and the texts that describe them.

    Numbers are hashed as little-endian bytes, so the digest is the same on every machine.
    """
    total = hashlib.sha256()
    for name in TEXTS:
        if name in LATER and name not in held.attributes[""]:
            continue
        total.update(f"{name} {str(held.attributes[''].get(name, '')).strip()}\n".encode())
    for name in sorted(names):
        array = held.arrays[name]
        units = held.attributes[name].get("units", "")
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        total.update(f"{name} {little.dtype.str} {array.shape} {units}\n".encode())
        total.update(little.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
