"""The seal of a picture: which surface it was drawn from, and that nobody has changed it since.

It stands in the metadata of the file, uncompressed in every format: ``lossgrid:IDS:DIGEST``. The digest is the SHA-256
of the file with zeros in place of the digest. A picture with the seal of a surface may be drawn again without being
asked; an edited one may not, as its digest differs.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Sequence

from lossgrid.surface import Surface

BLANK = b"0" * 64
SEAL = re.compile(rb"lossgrid:([\w,-]*):([0-9a-f]{64})")
PNG, CHUNK = b"\x89PNG", 4  # bytes of the length, the type and the CRC of a chunk each


def ids_of(surfaces: Iterable[Surface]) -> tuple[str, ...]:
    """Return the ids of surfaces; none if one has no id, as those of older files and of memory."""
    ids = tuple(surface.id for surface in surfaces)
    return ids if all(ids) else ()


def blank_of(ids: Sequence[str]) -> str:
    """Return the text of a seal to be completed by :func:`sealed`."""
    return f"lossgrid:{','.join(ids)}:{BLANK.decode()}"


def sealed(content: bytes) -> bytes:
    """Return the contents of a picture with its seal completed; unchanged if it has none."""
    return _with(content, hashlib.sha256(content).hexdigest().encode()) if SEAL.search(content) else content


def is_sealed(content: bytes, ids: Sequence[str]) -> bool:
    """Return whether ``content`` is a picture drawn from the surfaces ``ids`` and unchanged since."""
    found = SEAL.search(content)
    if not ids or found is None or found[1] != ",".join(ids).encode():
        return False
    return hashlib.sha256(_with(content, BLANK)).hexdigest().encode() == found[2]


def _with(content: bytes, digest: bytes) -> bytes:
    """Return ``content`` with another digest in its seal, which has the same length in all formats."""
    found = SEAL.search(content)
    assert found is not None
    changed = content[: found.start(2)] + digest + content[found.end(2) :]
    if not content.startswith(PNG):
        return changed
    start = content.rindex(b"tEXt", 0, found.start())  # a chunk of PNG ends in the CRC of its type and data
    length = int.from_bytes(content[start - CHUNK : start], "big")
    end = start + CHUNK + length
    return changed[:end] + zlib.crc32(changed[start:end]).to_bytes(CHUNK, "big") + changed[end + CHUNK :]
