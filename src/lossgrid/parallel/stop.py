"""Stopping on request: signals set a flag that the run polls between batches; nothing else happens in a handler."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
REPEAT_WINDOW = 1.0  # s: launchers pass one signal on along several ways; later than this it is a second request


class Stop:
    """Whether this process was asked to stop, and by what.

    The first signal asks the run to finish its point and leave; a second one ends the process at once.
    """

    def __init__(self) -> None:
        """Start without a request."""
        self.signal: signal.Signals | None = None
        self._since = 0.0

    def __bool__(self) -> bool:
        return self.signal is not None

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Take note of a signal."""
        if self.signal is None:
            self.signal = signal.Signals(number)
            self._since = time.monotonic()
        elif time.monotonic() - self._since > REPEAT_WINDOW:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def listen() -> Stop:
    """Turn stop signals into a flag from now on: a program that is done must not die of one that came too late.

    Outside the main thread Python cannot handle signals: there the flag simply stays down.
    """
    stop = Stop()
    with suppress(ValueError):
        for number in SIGNALS:
            signal.signal(number, stop.handle)
    return stop


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn stop signals into a flag while the block runs, as :func:`listen`; the old handlers come back after it."""
    old = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield listen()
    finally:
        with suppress(ValueError):
            for number, handler in old.items():
                signal.signal(number, handler)
