"""The pace of this machine: how much longer things take now than where each process has a core of its own."""

from __future__ import annotations

import time

SPIN = 0.1  # s of computing: many turns of the scheduler
WAKES, NAP = 5, 0.01
MOST = 5.0  # beyond that the bounds would say nothing


def stretch() -> float:
    """Return how many times as long a process takes now for what it computes, at least 1, in whole steps.

    On an idle machine it is 1.
    """
    return min(MOST, max(1.0, float(round(max(_share_of_a_core(), _lateness())))))


def soon(seconds: float) -> float:
    """Return the bound of what takes less than ``seconds`` on an idle machine, as this one is now."""
    return seconds * stretch()


def _share_of_a_core() -> float:
    began, computed = time.perf_counter(), time.thread_time()
    while time.thread_time() - computed < SPIN:
        pass
    return (time.perf_counter() - began) / SPIN


def _lateness() -> float:
    """Return how many times as long the longest of some naps took as it was asked to."""
    took = []
    for _ in range(WAKES):
        began = time.perf_counter()
        time.sleep(NAP)
        took.append(time.perf_counter() - began)
    return max(took) / NAP
