"""Keeping memory the process has freed, so that the next batch need not ask the system for it again.

The activations of a batch are megabytes each. For such sizes glibc's ``malloc`` asks the kernel for fresh pages and
gives them back when they are freed; every batch then spends as long in page faults as in arithmetic. See mallopt(3).
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
    """Tell ``malloc`` to keep what is freed while the block runs; does nothing where the C library is not glibc."""
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
