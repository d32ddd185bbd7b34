"""The progress display: a bar on a terminal, a plain line every half minute in a batch log."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from lossgrid.wording import duration

log = logging.getLogger(__name__)

LINE_SECONDS = 30.0  # between two lines of a log
BAR_SECONDS = 0.1  # between two updates of a bar


class ProgressDisplay:
    """Displays the number of units done, such as points, units per second and the time left; on root only."""

    def __init__(self, total: int, units: str = "points") -> None:
        """Prepare a display of ``total`` units with the name ``units``."""
        self._total, self._done, self._units = total, 0, units
        self._began = self._shown = time.monotonic()
        console = Console(stderr=True)
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn(f"{units}, {{task.fields[pace]}}"))
            self._bar = Bar(*columns, console=console, transient=True)
            self._task = self._bar.add_task(units, total=total, pace="")

    def __enter__(self) -> ProgressDisplay:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int) -> None:
        """Display that ``done`` units are done; cheap enough for frequent calls."""
        self._done = done
        now = time.monotonic()
        if now - self._shown < (LINE_SECONDS if self._bar is None else BAR_SECONDS):
            return
        self._shown = now
        if self._bar is None:
            log.info("%d of %d %s, %s", done, self._total, self._units, self._pace(now))
        else:
            self._bar.update(self._task, completed=done, pace=self._pace(now))

    def _pace(self, now: float) -> str:
        if not self._done:
            return f"first {self._units} under way"
        pace = self._done / (now - self._began)
        return f"{pace:.3g} {self._units}/s, {duration((self._total - self._done) / pace)} left"
