"""The digest of a surface: tells whether a byte of what it holds was changed after the run had finished it."""

from __future__ import annotations

import hashlib

import numpy as np

from lossgrid.store.contents import Contents

TEXTS = ("config", "provenance", "created", "rounding")


def digest(held: Contents) -> str:
    """Return the SHA-256, in hexadecimal, of all arrays of a surface and of the texts that describe them.

    The numbers count as little-endian bytes, so that every machine finds the same.
    """
    total = hashlib.sha256()
    for name in TEXTS:
        total.update(f"{name} {str(held.attributes[''].get(name, '')).strip()}\n".encode())
    for name, array in sorted(held.arrays.items()):
        units = held.attributes[name].get("units", "")
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        total.update(f"{name} {little.dtype.str} {array.shape} {units}\n".encode())
        total.update(little.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
