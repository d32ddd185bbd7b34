"""The progress display: a bar on a terminal and in a notebook, a plain line every half minute in a batch log."""

from __future__ import annotations

import builtins
import logging
import sys
import time
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from lossgrid.wording import duration

log = logging.getLogger(__name__)

LINE_SECONDS = 30.0  # between two lines of a log
BAR_SECONDS = 0.1  # between two updates of a bar


class AnyBar(Protocol):
    """A bar of a terminal or of a notebook."""

    def show(self, done: int, total: int, pace: str) -> None:
        """Display ``done`` of ``total`` units and their pace."""

    def end(self, done: int, seconds: float) -> None:
        """End, with ``done`` units after ``seconds``."""


class ProgressDisplay:
    """Displays the number of units done, such as points, units per second and the time left; on root only."""

    def __init__(self, total: int, units: str = "points", *, bar: bool | None = None) -> None:
        """Prepare a display, which begins with the block.

        Args:
            total: Number of units.
            units: Their name.
            bar: Whether there is a bar; False displays nothing at all. None for a bar on a terminal and in a notebook,
                and lines in the log elsewhere.
        """
        self._total, self._done, self._units = total, 0, units
        self._began = self._shown = time.monotonic()
        self._wanted = bar
        self._bar: AnyBar | None = None

    def __enter__(self) -> ProgressDisplay:
        if self._wanted is not False:
            self._bar = _bar(self._total, self._units, wanted=self._wanted is True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.end(self._done, time.monotonic() - self._began)

    def update(self, done: int, total: int | None = None) -> None:
        """Display that ``done`` units are done, of ``total`` if that has changed; cheap enough for frequent calls."""
        self._done, self._total = done, self._total if total is None else total
        now = time.monotonic()
        if self._wanted is False or now - self._shown < (LINE_SECONDS if self._bar is None else BAR_SECONDS):
            return
        self._shown = now
        if self._bar is None:
            log.info("%d of %d %s, %s", done, self._total, self._units, self._pace(now))
        else:
            self._bar.show(done, self._total, self._pace(now))

    def _pace(self, now: float) -> str:
        if not self._done:
            return f"first {self._units} under way"
        pace = self._done / (now - self._began)
        return f"{pace:.3g} {self._units}/s, {duration((self._total - self._done) / pace)} left"


def _bar(total: int, units: str, *, wanted: bool) -> AnyBar | None:
    """Return the bar that fits where the program runs; None for no bar, if none is ``wanted`` there."""
    if sys.stderr.isatty():
        return TerminalBar(total, units)
    display = display_of_notebook()
    if display is not None:
        return NotebookBar(total, units, display)
    return TerminalBar(total, units) if wanted else None


def display_of_notebook() -> Any:
    """Return the function of IPython that displays an object below the cell; None outside a notebook."""
    if not hasattr(builtins, "__IPYTHON__"):
        return None
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    return (
        display if hasattr(get_ipython(), "kernel") else None
    )  # IPython on a terminal can change nothing it displayed


class TerminalBar:
    """A bar on a terminal, which vanishes at its end."""

    def __init__(self, total: int, units: str) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn(f"{units}, {{task.fields[pace]}}"))
        console = Console(stderr=True, force_terminal=None if sys.stderr.isatty() else True)
        self._bar = Bar(*columns, console=console, transient=True)
        self._task = self._bar.add_task(units, total=total, pace="")
        self._bar.start()

    def show(self, done: int, total: int, pace: str) -> None:
        """Display ``done`` of ``total`` units and their pace."""
        self._bar.update(self._task, completed=done, total=total, pace=pace, refresh=True)

    def end(self, done: int, seconds: float) -> None:  # noqa: ARG002
        """Remove the bar."""
        self._bar.stop()


class NotebookBar:
    """A bar below the cell of a notebook, as HTML and text; it needs no widgets, and stays with its last numbers."""

    def __init__(self, total: int, units: str, display: Any) -> None:
        self._total, self._units = total, units
        self._handle = display(self._shape(0, ""), raw=True, display_id=True)

    def show(self, done: int, total: int, pace: str) -> None:
        """Display ``done`` of ``total`` units and their pace."""
        self._total = total
        self._update(done, pace)

    def end(self, done: int, seconds: float) -> None:
        """Display ``done`` units and ``seconds``."""
        self._update(done, duration(seconds))

    def _update(self, done: int, text: str) -> None:
        if self._handle is not None:  # IPython returns none where no front end is connected
            self._handle.update(self._shape(done, text), raw=True)

    def _shape(self, done: int, text: str) -> dict[str, str]:
        """Return the bar by MIME type; ``text`` is made here and holds no HTML."""
        line = f"{done} of {self._total} {self._units}" + (f", {text}" if text else "")
        return {
            "text/plain": line,
            "text/html": f'<progress max="{self._total}" value="{done}"></progress> {line}',
        }
