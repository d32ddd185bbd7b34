"""Stopping on request: signal handlers only set a flag, which the run polls between batches."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
REPEAT_WINDOW = 1.0  # s: launchers may deliver one signal several times; after this time it is a second request


class Stop:
    """Whether this process was asked to stop, and by which signal.

    The first signal asks the run to finish its point and leave; a second one ends the process at once.
    """

    def __init__(self, *, interrupts: bool = False) -> None:
        """Return a flag that no signal has set.

        Args:
            interrupts: The second Ctrl-C raises KeyboardInterrupt, so that a notebook keeps its variables.
        """
        self.signal: signal.Signals | None = None
        self._since, self._interrupts = 0.0, interrupts

    def __bool__(self) -> bool:
        return self.signal is not None

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: set the flag, or end the process at the second request."""
        if self.signal is None:
            self.signal = signal.Signals(number)
            self._since = time.monotonic()
        elif time.monotonic() - self._since > REPEAT_WINDOW:
            if self._interrupts and number == signal.SIGINT:
                raise KeyboardInterrupt("interrupted a second time, within a point")
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def listen(*, interrupts: bool = False) -> Stop:
    """Return a flag that stop signals set from now on; they no longer kill a program that is already done.

    Outside the main thread Python cannot handle signals: there the flag is never set.
    """
    stop = Stop(interrupts=interrupts)
    with suppress(ValueError):
        for number in SIGNALS:
            signal.signal(number, stop.handle)
    return stop


@contextmanager
def stop_on_signals(*, interrupts: bool = False) -> Iterator[Stop]:
    """Yield a flag that stop signals set while the block runs; then restore the old handlers.

    See :func:`listen` and, for ``interrupts``, :class:`Stop`.
    """
    old = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield listen(interrupts=interrupts)
    finally:
        with suppress(ValueError):
            for number, handler in old.items():
                signal.signal(number, handler)
