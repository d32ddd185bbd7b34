"""Retaining freed memory in the process, so that the next batch need not allocate it from the kernel again.

The activations of a batch are megabytes each. For such sizes glibc's ``malloc`` maps fresh pages and returns them to
the kernel when they are freed. Every batch then spends as long in page faults as in arithmetic. See mallopt(3).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of malloc.h
KEEPING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 64 * 2**20}
DEFAULT = {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 128 * 2**10, M_TOP_PAD: 128 * 2**10}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let ``malloc`` retain freed memory while the block runs; do nothing if the C library is not glibc."""
    _tell(KEEPING)
    try:
        yield
    finally:
        _tell(DEFAULT)


def _tell(settings: dict[int, int]) -> None:
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for name, value in settings.items():
            mallopt(name, value)
